package app

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// programLimit ends a program that hangs: a compiler or npm has much to do on a slow machine.
const programLimit = 5 * testwait.Limit

// npm prepares a folder with a package.json in a copy, or skips the test where that
// cannot be: Node is not needed to build or run the product.
func npm(t *testing.T, folder string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	copyPackage(t, dir, folder)
	ctx, cancel := context.WithTimeout(t.Context(), programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		failedInstall(t, string(out), err)
	}
	return dir
}

// copyPackage copies a folder with a package.json, or skips the test without Node.js and npm.
func copyPackage(t *testing.T, dir, folder string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("there is no " + program)
		}
	}
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	for _, local := range []string{"node_modules", "dist"} {
		_ = os.RemoveAll(filepath.Join(dir, local))
	}
}

// failedInstall skips the test if npm reaches no registry, and fails it otherwise.
func failedInstall(t *testing.T, out string, err error) {
	t.Helper()
	if strings.Contains(out, "network") || strings.Contains(out, "ENOTFOUND") {
		t.Skipf("npm reaches no registry: %s", out)
	}
	t.Fatalf("npm: %v\n%s", err, out)
}

func runIn(t *testing.T, dir string, env []string, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", program, err, out)
	}
}
