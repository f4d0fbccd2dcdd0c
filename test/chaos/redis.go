package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"time"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

// redisServer is redis-server if it is installed, and the in-process one of the product otherwise.
// It stops and starts again empty, as a Redis may.
type redisServer struct {
	addr string
	dir  string
	mu   sync.Mutex
	stop func()
}

func openRedis(ctx context.Context, dir string) (*redisServer, error) {
	port, err := testport.Reserve()
	if err != nil {
		return nil, err
	}
	r := &redisServer{addr: port.Address(), dir: dir}
	return r, r.start(ctx)
}

func (r *redisServer) url() string { return "redis://" + r.addr }

func (r *redisServer) start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	program, err := exec.LookPath("redis-server")
	if err != nil {
		s, err := embedded.StartRedisAt(r.addr)
		if err != nil {
			return err
		}
		r.stop = s.Close
		return nil
	}
	_, port, _ := net.SplitHostPort(r.addr)
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", r.dir) //nolint:noctx // stopped by hand
	exited, err := embedded.Spawn(cmd)
	if err != nil {
		return err
	}
	r.stop = func() {
		_ = cmd.Process.Kill()
		<-exited
	}
	return answers(ctx, r.addr, exited)
}

// drop stops it immediately. A second call does nothing.
func (r *redisServer) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

func answers(ctx context.Context, addr string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-exited:
			return errors.New("redis-server exited")
		default:
		}
		if !pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("redis-server does not answer: %w", err)
		}
	}
}

// pause waits, and reports whether ctx is still valid afterwards.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
