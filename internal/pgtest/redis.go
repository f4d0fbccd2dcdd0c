package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"

	"sync"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

const redisReady = 10 * time.Second

// RedisServer is the Redis of one test that can be stopped and started again. Its methods fail the
// test; call them from the goroutine of the test.
type RedisServer struct {
	URL string // the same after a restart

	t    testing.TB
	addr string
	mu   sync.Mutex
	stop func() // nil while it is stopped
}

// Redis starts an empty Redis for the test and returns its URL. It runs redis-server if it is
// installed, which takes about 20 ms, and the in-process one otherwise. Each test gets a whole
// server and not a database number, because PUBLISH is global to a server.
func Redis(t testing.TB) string {
	t.Helper()

	return NewRedis(t).URL
}

// NewRedis is Redis for tests that stop and restart it.
func NewRedis(t testing.TB) *RedisServer {
	t.Helper()
	s := &RedisServer{t: t, addr: testport.For(t).Address()}
	s.Start()
	s.URL = "redis://" + s.addr
	t.Cleanup(s.Stop)

	return s
}

// Start starts the Redis again at the same address, without data. It does nothing while it is
// running.
func (s *RedisServer) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), redisReady)
	defer cancel()
	launch := s.process
	program, err := exec.LookPath("redis-server")
	if err != nil {
		launch = s.inProcess
	}
	if err := launch(ctx, program); err != nil {
		s.t.Fatalf("pgtest: redis: %v", err)
	}
}

// Stop stops the Redis immediately, as a crash does. It does nothing while it is stopped.
func (s *RedisServer) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

func (s *RedisServer) inProcess(context.Context, string) error {
	r, err := embedded.StartRedisAt(s.addr)
	if err != nil {
		return err
	}
	s.stop = r.Close

	return nil
}

func (s *RedisServer) process(ctx context.Context, program string) error {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", os.TempDir())
	cmd.Stdout = &out
	exited, err := embedded.Spawn(cmd)
	if err != nil {
		return err
	}
	stop := func() {
		_ = cmd.Process.Kill()
		<-exited
	}
	if err := answers(ctx, s.addr, exited); err != nil {
		stop()

		return fmt.Errorf("%w\n%s", err, out.String())
	}
	s.stop = stop

	return nil
}

func answers(ctx context.Context, addr string, exited <-chan struct{}) error {
	every := time.NewTicker(2 * time.Millisecond)
	defer every.Stop()
	for !ping(ctx, addr) {
		select {
		case <-exited:
			return fmt.Errorf("redis-server on %s exited", addr)
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}

	return nil
}

func ping(ctx context.Context, addr string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	answer := make([]byte, len("+PONG"))
	_, err = conn.Write([]byte("*1\r\n$4\r\nPING\r\n"))
	if err == nil {
		_, err = conn.Read(answer)
	}

	return err == nil && string(answer) == "+PONG"
}
