package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

const (
	stopWithin = 30 * time.Second // SPEC D5
	startAgain = 300 * time.Millisecond
)

// node is one process of the product. It is restarted like by an orchestrator.
type node struct {
	*lab
	name, role string
	host       string // 127.0.0.1:port
	proxy      *proxy
	env        []string

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited <-chan struct{}
	told   chan struct{} // closed when it was signaled
	asked  os.Signal     // the signal that it got, or nil
	down   time.Duration // time before the restart
	ready  bool
}

func (l *lab) node(name, role string) (*node, error) {
	p, err := l.proxies.open(name)
	if err != nil {
		return nil, err
	}
	port, err := testport.Reserve()
	if err != nil {
		return nil, err
	}
	return &node{
		lab: l, name: name, role: role, host: port.Address(), proxy: p,
		env: l.environment(port.String(), l.databaseURL(p.port())),
	}, nil
}

// run restarts the process whenever it ends until ctx ends, and then stops it.
func (n *node) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.spawn(); err != nil {
			n.breaches.add("start", "%s: %v", n.name, err)
			return
		}
		n.awaitReady(ctx)
		select {
		case <-n.exited:
		case <-n.told:
		case <-ctx.Done():
			n.order(syscall.SIGTERM, 0)
		}
		n.judgeExit()
		pause(ctx, max(n.down, startAgain))
	}
}

func (n *node) spawn() (err error) {
	log, err := os.OpenFile(filepath.Join(n.dir, n.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                         // the child has its own
	cmd := exec.Command(n.binary, "serve", "--roles="+n.role) //nolint:noctx // stopped by hand
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = n.dir, n.env, log, log
	exited, err := embedded.Spawn(cmd)

	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd, n.exited, n.told, n.asked, n.down, n.ready = cmd, exited, make(chan struct{}), nil, 0, false
	return err
}

func (n *node) awaitReady(ctx context.Context) {
	for pause(ctx, 20*time.Millisecond) {
		select {
		case <-n.exited:
			return
		default:
		}
		if status, _, err := fasthttp.GetTimeout(nil, "http://"+n.host+"/readyz", time.Second); err == nil && status == http.StatusOK {
			n.mu.Lock()
			n.ready = true
			n.mu.Unlock()
			return
		}
	}
}

func (n *node) isReady() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready
}

// signal ends a running process, which is restarted after down. It reports whether there was one
// that had not been signaled before.
func (n *node) signal(s syscall.Signal, down time.Duration) bool {
	return n.isReady() && n.order(s, down)
}

func (n *node) order(s syscall.Signal, down time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil || n.asked != nil {
		return false
	}
	n.asked, n.down = s, down
	close(n.told)
	_ = n.cmd.Process.Signal(s)
	return true
}

// judgeExit waits until a signaled process has ended. It is a breach if a process exits without a
// signal after it was ready, fails after SIGTERM, or does not end in time.
func (n *node) judgeExit() {
	began := time.Now()
	select {
	case <-n.exited:
	case <-time.After(stopWithin):
		n.breaches.add("stop", "%s did not stop within %s", n.name, stopWithin)
		n.killNow()
		<-n.exited
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch state := n.cmd.ProcessState; {
	case n.asked == nil && n.ready:
		n.breaches.add("exit", "%s ended by itself: %s", n.name, state)
	case n.asked == nil:
		n.report.count("did not come up, and was started again", 1) // PostgreSQL was unavailable
	case n.asked == syscall.SIGTERM && !state.Success():
		n.breaches.add("stop", "%s was told to stop and ended with %s", n.name, state)
	case n.asked == syscall.SIGTERM:
		n.report.longest("longest stop after SIGTERM", time.Since(began))
	}
	n.ready = false
}

func (n *node) killNow() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil && n.cmd.Process != nil {
		_ = n.cmd.Process.Kill()
	}
}
