package app

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testport"
)

// relay passes connections on to an address until it is stopped, which cuts them off, and again
// after it was started anew at the same address: a network that fails for a while.
type relay struct {
	t        *testing.T
	upstream string
	address  string

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

func newRelay(t *testing.T, upstream string) *relay {
	t.Helper()
	r := &relay{t: t, upstream: upstream, address: testport.For(t).Address()}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *relay) start() {
	r.t.Helper()
	listener, err := net.Listen("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener = listener
	go func() {
		for {
			down, err := listener.Accept()
			if err != nil {
				return // stopped
			}
			go r.join(listener, down)
		}
	}()
}

func (r *relay) join(listener net.Listener, down net.Conn) {
	defer down.Close()
	up, err := net.Dial("tcp", r.upstream)
	if err != nil {
		return
	}
	defer up.Close()
	r.mu.Lock()
	running := r.listener == listener
	r.open = append(r.open, down, up)
	r.mu.Unlock()
	if !running {
		return
	}
	go func() {
		_, _ = io.Copy(up, down)
		_ = up.Close()
	}()
	_, _ = io.Copy(down, up)
}

func (r *relay) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener == nil {
		return
	}
	_ = r.listener.Close()
	for _, conn := range r.open {
		_ = conn.Close()
	}
	r.listener, r.open = nil, nil
}
