package pages_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/app/pages"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// SPEC F8: with a folder, each request gets the file as it is now, also a new one, with the policy and the
// ETag of a page in the binary; nothing outside of the folder is served.
func TestPagesFromDisk_F8(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "static")
	if err := os.MkdirAll(filepath.Join(dir, "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, parent, "outside.js", "outside")
	write(t, dir, "index.html", "first {{.Version}}")
	write(t, dir, "notes.md", "notes")
	write(t, filepath.Join(dir, "inner"), "inner.js", "inner")
	if err := os.Symlink(filepath.Join(parent, "outside.js"), filepath.Join(dir, "link.js")); err != nil {
		t.Fatal(err)
	}
	app := setup(t, pages.Options{Dir: dir, Version: "<1>"})

	first, before := get(t, app, "/")
	write(t, dir, "index.html", "second {{.Version}}")
	second, after := get(t, app, "/", "If-None-Match", first.Header.Get("ETag"))
	write(t, dir, "new.js", "new")
	created, script := get(t, app, "/assets/new.js")
	_, inBinary := get(t, app, "/assets/try.js")

	if before != "first &lt;1&gt;" || after != "second &lt;1&gt;" || second.StatusCode != http.StatusOK {
		t.Errorf("the page is %q, then %d %q", before, second.StatusCode, after)
	}
	if policy := first.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "trusted-types 'none'") {
		t.Errorf("its policy is %q", policy)
	}
	if script != "new" || created.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("a new file is %q, %v", script, created.Header)
	}
	if !strings.Contains(inBinary, "import") {
		t.Errorf("a file that the folder lacks is %q", inBinary)
	}
	for _, path := range []string{"/assets/index.html", "/assets/notes.md", "/assets/inner", "/assets/inner%2finner.js", "/assets/..%2foutside.js", "/assets/link.js"} {
		if res, body := get(t, app, path); res.StatusCode == http.StatusOK {
			t.Errorf("%s is served: %q", path, body)
		}
	}
}

// SPEC F8: the folder is that of a checkout in which the process was started.
//
//nolint:paralleltest // it changes the folder
func TestSourceDir_F8(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	if dir := pages.SourceDir(); !strings.HasSuffix(dir, filepath.Join("app", "pages", "static")) {
		t.Errorf("in the checkout it is %q", dir)
	}
	t.Chdir("app")
	if dir := pages.SourceDir(); dir != "" {
		t.Errorf("in another folder it is %q", dir)
	}
	foreign := t.TempDir()
	if err := os.MkdirAll(filepath.Join(foreign, "app", "pages", "static"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, foreign, "go.mod", "module example.com/shop\n")
	write(t, filepath.Join(foreign, "app", "pages", "static"), "index.html", "foreign")
	t.Chdir(foreign)
	if dir := pages.SourceDir(); dir != "" {
		t.Errorf("in another module it is %q", dir)
	}
}
