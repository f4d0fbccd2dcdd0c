// Package golden compares the output of a test with a file under testdata. It shows a difference as
// a diff, with the command that rewrites the file. It is for tests only and defines their flag
// -update; a tested package must not define another one.
package golden

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Check fails the test unless the file holds exactly got. path is relative to the folder of the
// package that is tested. With -update, the file is written instead.
func Check(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		if err := write(path, got); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if diff := Diff(string(want), got); diff != "" {
		t.Errorf("%s is out of date (-file +test):\n%s\nIf that is intended, run\n\n\t%s\n\nand review the change with git diff.", path, diff, command(t))
	}
}

// documents serializes the tests of one package that check tables of the same document.
var documents sync.Mutex

// CheckTable fails the test unless the Markdown document has exactly these lines in the table with the
// given head, which is its first two lines. With -update, they are written instead.
func CheckTable(t testing.TB, path, head string, lines []string) {
	t.Helper()
	documents.Lock()
	defer documents.Unlock()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(raw), head)
	_, after, ends := strings.Cut(rest, "\n\n")
	if !found || !ends {
		t.Fatalf("%s has no table with the head\n%s", path, head)
	}
	Check(t, path, before+head+strings.Join(lines, "\n")+"\n\n"+after)
}

// Diff returns the lines that differ, with some lines around them, and "" when there are none.
func Diff(want, got string) string {
	return cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n"))
}

func write(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600) //nolint:gosec // G703: the path is a constant of a test
}

// command returns the command that updates the files of this test, run in the folder of the module.
func command(t testing.TB) string {
	top, _, _ := strings.Cut(t.Name(), "/")
	return fmt.Sprintf("go test ./%s -run '^%s$' -update", folder(), top)
}

// folder returns the folder of the tested package, relative to that of its module.
func folder() string {
	dir, err := os.Getwd()
	if err != nil {
		return "..."
	}
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			relative, _ := filepath.Rel(root, dir)
			return filepath.ToSlash(relative)
		}
		if root == filepath.Dir(root) {
			return "..."
		}
	}
}
