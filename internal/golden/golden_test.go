package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a test that fails without failing this one.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper()      {}
func (r *recorder) Name() string { return "TestTable/one" }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestCheck(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "table.golden")
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	same, other, missing := &recorder{TB: t}, &recorder{TB: t}, &recorder{TB: t}
	Check(same, path, "one\ntwo\nthree\n")
	Check(other, path, "one\n2\nthree\n")
	Check(missing, path+"x", "one\n")

	if len(same.errors) != 0 {
		t.Errorf("equal: %v", same.errors)
	}
	if len(other.errors) != 1 {
		t.Fatalf("different: %v", other.errors)
	}
	for _, part := range []string{"table.golden", `"two"`, `"2"`, "go test ./internal/golden -run '^TestTable$' -update"} {
		if !strings.Contains(other.errors[0], part) {
			t.Errorf("%s is missing in:\n%s", part, other.errors[0])
		}
	}
	if len(missing.errors) != 1 {
		t.Errorf("a missing file: %v", missing.errors)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "table.golden")
	if err := write(path, "one\n"); err != nil {
		t.Fatal(err)
	}
	if written, err := os.ReadFile(path); err != nil || string(written) != "one\n" {
		t.Errorf("%q, %v", written, err)
	}
}
