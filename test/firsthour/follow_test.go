package firsthour_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// SPEC G11, E3: the program follow prints what happens, and what happened while it was not running.
func TestFollowProgram(t *testing.T) {
	t.Parallel()
	need(t, "sh", "curl", "sed")
	s := launch(t)
	path, cursor := filepath.Join(t.TempDir(), "follow"), filepath.Join(t.TempDir(), "cursor")
	run(t, filepath.Join(root(t), "clients", "go"), nil, "go", "build", "-o", path, "./follow")
	list := blocks(t, filepath.Join(root(t), "README.md"), "sh")
	register, _, _ := strings.Cut(list[1], "\ncurl -sN")
	setup, _, _ := strings.Cut(list[2], "\nA=$(")
	place := func(prefix, key string) (out string) {
		printed, done, _ := s.shell(t, prefix+"\n"+setup+"\necho \"token $T\"\norder "+key+` '{"items":[{"sku":"SCALE-TIMER","quantity":1}]}'`)
		if err := testwait.For(t, "an order", done); err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		return printed.String()
	}
	token := regexp.MustCompile(`token (\S+)`).FindStringSubmatch(place(register, "first"))[1]
	seen := func(stop int, args ...string) string {
		out := &syncbuf.Buffer{}
		cmd := exec.Command(path, append([]string{"-server", s.base, "-cursor", cursor, "-types", "order.created"}, args...)...)
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "ORDERFLOW_TOKEN="+token), out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testwait.Until(t, "the events", func() bool { return strings.Count(out.String(), "order.created") >= stop })
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it does not stop: %v\n%s", err, out)
		}
		return out.String()
	}

	first := seen(1, "-after", "start")
	place("", "second")
	place("", "third")
	second := seen(2, "-sse")

	if strings.Count(first, "order.created") != 1 || strings.Count(second, "order.created") != 2 || strings.Contains(second, first) {
		t.Errorf("it prints\n%s and then\n%s", first, second)
	}
}
