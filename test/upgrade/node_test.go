package upgrade_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// version is one version of the product in the environment that all nodes share.
type version struct {
	name, binary, dir string
	env               []string
}

// node is one process of a version.
type node struct {
	name   string
	base   string
	t      *testing.T
	cmd    *exec.Cmd
	exited <-chan struct{}
	log    syncbuf.Buffer
}

// command runs a command of the version, which must succeed.
func (v *version) command(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), v.binary, args...)
	cmd.Dir, cmd.Env = v.dir, append([]string{"PORT=0"}, v.env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s of the %s version: %v\n%s", args[0], v.name, err, text)
	}
}

// start starts a process with a role and waits until it is ready.
func (v *version) start(t *testing.T, role string) *node {
	t.Helper()
	port, internal := testport.For(t), testport.For(t)
	n := &node{name: v.name + " " + role, base: "http://" + port.Address(), t: t}
	n.cmd = exec.Command(v.binary, "serve", "--roles="+role)
	n.cmd.Dir, n.cmd.Env = v.dir, append([]string{"PORT=" + port.String(), "INTERNAL_PORT=" + internal.String()}, v.env...)
	n.cmd.Stdout, n.cmd.Stderr = &n.log, &n.log
	var err error
	if n.exited, err = embedded.Spawn(n.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // no effect if it was stopped
		<-n.exited
		if t.Failed() {
			t.Logf("the log of the %s:\n%s", n.name, tail(n.log.String(), 40))
		}
	})
	testwait.Until(t, n.name+" to be ready", func() bool {
		select {
		case <-n.exited:
			t.Fatalf("the %s ended with %s", n.name, n.cmd.ProcessState)
		default:
		}
		// Versions before INTERNAL_PORT have their probes on the public port.
		return ready("http://"+internal.Address()) || ready(n.base)
	})
	return n
}

func ready(base string) bool {
	res, err := web.Get(base + "/readyz")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// stop ends the process as an orchestrator does. It must have logged no error.
func (n *node) stop() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(n.name, err)
	}
	testwait.For(n.t, "the "+n.name+" to stop", n.exited)
	if !n.cmd.ProcessState.Success() {
		n.t.Errorf("the %s ended with %s", n.name, n.cmd.ProcessState)
	}
	for line := range strings.Lines(n.log.String()) {
		var entry struct{ Level string }
		if json.Unmarshal([]byte(line), &entry) == nil && strings.EqualFold(entry.Level, "error") {
			n.t.Errorf("the %s logged %s", n.name, line)
		}
	}
}

func tail(text string, n int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

var web = &http.Client{Timeout: testwait.Limit}

// caller sends requests with a credential. The node is an argument of each request.
type caller struct{ token string }

// answer is a response.
type answer struct {
	status int
	header http.Header
	raw    []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %.600s", a.status, a.raw) }

// at returns the member at a path such as data.0.id, or nil.
func (a answer) at(path string) any {
	var v any
	if err := json.Unmarshal(a.raw, &v); err != nil {
		return nil
	}
	for name := range strings.SplitSeq(path, ".") {
		switch inner := v.(type) {
		case map[string]any:
			v = inner[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(inner) {
				return nil
			}
			v = inner[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) text(path string) string {
	s, _ := a.at(path).(string)
	return s
}

// send sends a request once. Headers are written as "Name: value".
func (c caller) send(t testing.TB, n *node, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := web.Do(req)
	if err != nil {
		t.Fatalf("%s %s at the %s: %v", method, path, n.name, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s at the %s: %v", method, path, n.name, err)
	}
	return answer{res.StatusCode, res.Header, raw}
}

// want sends a request whose response must have the status.
func (c caller) want(t testing.TB, n *node, status int, method, path, body string, headers ...string) answer {
	t.Helper()
	a := c.send(t, n, method, path, body, headers...)
	if a.status != status {
		t.Fatalf("%s %s at the %s: %s", method, path, n.name, a)
	}
	return a
}

// until repeats a GET until the member at path has the value.
func (c caller) until(t testing.TB, n *node, path, member, value string) answer {
	t.Helper()
	var a answer
	testwait.Until(t, fmt.Sprintf("%s at the %s to have %s %s", path, n.name, member, value), func() bool {
		a = c.want(t, n, http.StatusOK, http.MethodGet, path, "")
		if member == "status" && a.text(member) == "FAILED" && value != "FAILED" {
			t.Fatalf("the order failed: %s", a)
		}
		return a.text(member) == value
	})
	return a
}

// refused waits until the credential is not accepted any more (SPEC A5: within one second).
func (c caller) refused(t testing.TB, n *node, path string) {
	t.Helper()
	testwait.Until(t, "the credential to be refused at the "+n.name, func() bool {
		return c.send(t, n, http.MethodGet, path, "").status == http.StatusUnauthorized
	})
}

func secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never returns an error
	return base64.StdEncoding.EncodeToString(b)
}

// pause ends after d or with ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
