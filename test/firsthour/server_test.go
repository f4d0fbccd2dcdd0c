// Package firsthour_test does what a new user does, as the documents print it: the README, the
// walks of examples/walks, and the quick start of the Go client.
package firsthour_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/test/program"
)

// product is the program under test.
var product program.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	product.Remove()
	os.Exit(code)
}

// server is the product as its user starts it: alone in a folder, with a private PostgreSQL, the
// demo products and an administrator.
type server struct {
	base, address string
	binary        string
	dir           string // where it was started
	out           syncbuf.Buffer
}

func launch(t *testing.T) *server {
	t.Helper()
	binary, err := product.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	port := testport.For(t)
	s := &server{binary: binary, dir: t.TempDir(), base: "http://localhost:" + port.String(), address: "localhost:" + port.String()}
	cmd := exec.Command(binary)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PORT=" + port.String(), "BCRYPT_COST=4"}
	cmd.Stdout, cmd.Stderr = &s.out, &s.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		if err := testwait.For(t, "the end of the server", exited); err != nil || t.Failed() {
			t.Errorf("%v; its output:\n%.3000s", err, s.out.String())
		}
	})
	client := &http.Client{Timeout: 10 * time.Second}
	testwait.Until(t, "readiness", func() bool {
		res, err := client.Get(s.base + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return s
}

// need skips the test on a machine without a program.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("there is no " + name)
		}
	}
}

// root is the folder of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := program.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs a program, which must succeed, and returns what it prints.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 10 * time.Second // what it leaves running holds the pipes
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out.String(), errs.String())
	}
	return out.String()
}
