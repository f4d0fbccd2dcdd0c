// Package program builds the program under test. The build runs in the product's own module, so
// the versions of its dependencies are those that are shipped, not those of the test module.
package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/orderflow-dev/orderflow"

// Root returns the folder of the product's module. The current folder must be within the test
// module.
func Root(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find %s; is the current folder in the test module? %w", module, err)
	}
	return strings.TrimSpace(string(root)), nil
}

// Build compiles the command orderflow to the file out, which is an absolute path; args are
// further arguments of go build, such as -race. The current folder must be within the test module.
func Build(ctx context.Context, out string, args ...string) error {
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	return BuildAt(ctx, root, out, args...)
}

// BuildAt does what Build does with the sources of the product in root, which may be those of
// another version.
func BuildAt(ctx context.Context, root, out string, args ...string) error {
	build := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", out}, args...), "./cmd/orderflow")...)
	build.Dir = root
	if slices.Contains(args, "-race") {
		build.Env = append(os.Environ(), "CGO_ENABLED=1") // the race detector needs it
	}
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build orderflow: %w\n%s", err, text)
	}
	return nil
}
