package app

import (
	"bufio"
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
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("there is no " + program)
		}
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(filepath.Join(dir, "node_modules"))
	ctx, cancel := context.WithTimeout(t.Context(), programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		if reachable := !strings.Contains(string(out), "network") && !strings.Contains(string(out), "ENOTFOUND"); reachable {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		t.Skipf("npm reaches no registry: %s", out)
	}
	return dir
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

// E2, E3, E7: the TypeScript client follows a real server, and resumes.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	dir := npm(t, "../clients/typescript")
	s := serveTest(t, settings(t))
	s.admin().product("KETTLE", 1_000_000)

	runIn(t, dir, []string{"ORDERFLOW_URL=" + s.base, "ORDERFLOW_SKU=KETTLE"}, "npm", "test")
}

// F5: AsyncAPI's own parser finds no fault with the document.
func TestAsyncAPIParser(t *testing.T) {
	t.Parallel()
	dir := npm(t, "testdata/asyncapi")
	s := serveTest(t, settings(t))

	runIn(t, dir, []string{"ORDERFLOW_URL=" + s.base}, "node", "check.mjs")
}

// E3: the example in Go prints what happens, and what happened while it was away.
func TestGoExample(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	s.admin().product("KETTLE", 100)
	alice := s.user("alice")
	binary := filepath.Join(t.TempDir(), "follow")
	runIn(t, "../clients/go/follow", nil, "go", "build", "-o", binary)
	cursor := filepath.Join(t.TempDir(), "cursor")
	listen := func() *example {
		e := &example{t: t, cmd: exec.Command(binary, "-server", s.base, "-cursor", cursor, "-types", "order.created,order.processing")}
		e.cmd.Env = []string{"ORDERFLOW_TOKEN=" + alice.token}
		out, err := e.cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := e.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		e.lines = bufio.NewScanner(out)
		return e
	}

	first := listen()
	testwait.Until(t, "the cursor is kept", func() bool { _, err := os.Stat(cursor); return err == nil })
	one := alice.order("KETTLE", 1)
	first.says("order.created", one)
	first.says("order.processing", one)
	first.stop()
	two := alice.order("KETTLE", 1)
	second := listen()
	second.says("order.created", two)
	second.says("order.processing", two)
	second.stop()
}

// example is the program in clients/go, running.
type example struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func (e *example) says(kind, order string) {
	e.t.Helper()
	if !e.lines.Scan() {
		e.t.Fatalf("it ended before %s: %v", kind, e.lines.Err())
	}
	if line := e.lines.Text(); !strings.Contains(line, kind) || !strings.Contains(line, order) {
		e.t.Errorf("%q, want %s of %s", line, kind, order)
	}
}

func (e *example) stop() {
	e.t.Helper()
	_ = e.cmd.Process.Signal(os.Interrupt)
	if err := e.cmd.Wait(); err != nil {
		e.t.Errorf("it does not stop: %v", err)
	}
}
