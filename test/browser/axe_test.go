package browser_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/test/browser/pagetest"
)

var errNoAxe = errors.New("axe-core cannot be installed: npm is missing or reaches no registry")

// axeSource returns the script of axe-core, which npm installs once for all tests of this package. AXE_JS may
// name another copy.
var axeSource = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("AXE_JS"); path != "" {
		raw, err := os.ReadFile(path)
		return string(raw), err
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return "", errNoAxe
	}
	dir, err := os.MkdirTemp("", "orderflow-axe-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS("testdata/axe")); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "network") || strings.Contains(string(out), "ENOTFOUND") {
			return "", errNoAxe
		}
		return "", err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(raw), err
})

// axe returns the script of axe-core, or "" where npm reaches no registry.
func axe(t *testing.T) string {
	t.Helper()
	source, err := axeSource()
	switch {
	case errors.Is(err, errNoAxe):
		t.Log(err)
	case err != nil:
		t.Fatal(err)
	}
	return source
}

// SPEC E33, R31, F5: no page has a violation of the rules of axe-core, in both colour schemes, on phones and desktops.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	if axe(t) == "" {
		t.Skip(errNoAxe.Error())
	}
	base := launch(t)
	for path, ready := range map[string]string{"/": "main", "/try": "form", "/docs": ".opblock-summary", "/guide": "#error-codes"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			ctx := pagetest.Browser(t)
			do(t, ctx, chromedp.Navigate(base+path), chromedp.WaitVisible(chromedp.CSS(ready)))
			everyLook(t, ctx, func(look string) {
				for _, found := range axeFaults(t, ctx, axe(t)) {
					t.Errorf("%s: %.600s", look, found)
				}
				if wide := evaluate[float64](t, ctx, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
					t.Errorf("%s: the page is %v px too wide", look, wide)
				}
			})
		})
	}
}
