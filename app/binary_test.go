package app

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// binary builds the product once for all tests that run it as a process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "orderflow-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "orderflow")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/orderflow").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// process is the product as its user starts it: alone in a folder, with an empty
// environment.
type process struct {
	*server
	cmd      *exec.Cmd
	out, log *syncbuf.Buffer
	exited   chan error
}

func launch(t *testing.T, dir string, port int, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{out: &syncbuf.Buffer{}, log: &syncbuf.Buffer{}, exited: make(chan error, 1)}
	p.server = &server{t: t, base: fmt.Sprintf("http://127.0.0.1:%d", port), probes: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), fmt.Sprintf("PORT=%d", port), "BCRYPT_COST=4"}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.signal(syscall.SIGINT)
		_ = p.wait() // says itself when it hangs; some were killed by their test
	})
	return p
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) wait() error {
	select {
	case err := <-p.exited:
		p.exited <- err
		return err
	case <-time.After(testwait.Limit):
		p.t.Errorf("the process did not end within %s; its log:\n%s", testwait.Limit, p.log)
		_ = p.cmd.Process.Kill()
		return context.DeadlineExceeded
	}
}

// F1: one command starts everything; a second one says so and leaves the first
// alone; after kill -9 it starts again by itself and every acknowledged order is
// processed; Ctrl-C leaves nothing behind.
func TestOneCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := testport.For(t).Number
	first := launch(t, dir, port, nil)
	first.ready()
	testwait.Until(t, "the welcome", func() bool { return strings.Contains(first.out.String(), "Log in") })
	login := regexp.MustCompile(`Log in +(\S+) / (\S+)`).FindStringSubmatch(first.out.String())
	if login == nil {
		t.Fatalf("it says:\n%s", first.out)
	}
	root := first.logIn(login[1], login[2])
	if a := root.want(200, "GET", "/v1/products", ""); a.at("data.0") == nil {
		t.Error("there are no demo products")
	}

	second := launch(t, dir, testport.For(t).Number, nil)
	if err := second.wait(); err == nil || !strings.Contains(second.log.String(), fmt.Sprint(first.cmd.Process.Pid)) {
		t.Errorf("the second start: %v, %s", err, second.log)
	}

	var orders []string
	ann := first.user("ann")
	for range 50 {
		orders = append(orders, ann.order("VOUCHER-TASTING", 1))
	}
	first.signal(syscall.SIGKILL)
	_ = first.wait()

	again := launch(t, dir, port, nil)
	again.ready()
	ann = again.logIn("ann@example.com", userPassword)
	for _, id := range orders {
		ann.becomes(id, "PROCESSING")
	}
	if !strings.Contains(again.out.String(), login[2]) {
		t.Errorf("another password after the restart:\n%s", again.out)
	}

	again.signal(syscall.SIGINT)
	if err := again.wait(); err != nil {
		t.Errorf("Ctrl-C: %v\n%s", err, again.log)
	}
	if left, _ := exec.Command("pgrep", "-f", dir).Output(); len(left) > 0 {
		t.Errorf("still running: %s", left)
	}
}

// F2, F7: everything wrong is named before anything starts.
func TestBadSettingsAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()

	p := launch(t, dir, testport.For(t).Number, []string{
		"APP_ENV=production", "RATE_LIMIT=often", "JWT_KEYS=a=changeme", "ALLOWED_ORIGINS=https://*.example.com",
		"DATABASE_URL=postgres://app:4tPz81LmWq0Xn@db.example.com/orderflow",
	})

	if err := p.wait(); err == nil {
		t.Error("it started")
	}
	for _, name := range []string{"RATE_LIMIT", "JWT_KEYS", "DATABASE_URL", "REDIS_URL", "ALLOWED_ORIGINS", "BCRYPT_COST"} {
		if !strings.Contains(p.log.String(), name+":") {
			t.Errorf("%s is not named in:\n%s", name, p.log)
		}
	}
	if strings.Contains(p.log.String(), "4tPz81LmWq0Xn") || strings.Contains(p.log.String(), "changeme") {
		t.Errorf("a secret stands in:\n%s", p.log)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("it left %v", entries)
	}
}
