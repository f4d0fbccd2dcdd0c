package redis

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// server is a Redis of one test's own.
type server struct {
	url           string
	network, addr string
	stop, start   func()
	pass          func(time.Duration) // lets time go by for the counters
}

// each runs a test against the in-process Redis and, where there is one, the real.
func each(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) { t.Parallel(); test(t, inProcess(t)) })
	t.Run("redis-server", func(t *testing.T) { t.Parallel(); test(t, redisServer(t)) })
}

func inProcess(t testing.TB) *server {
	t.Helper()
	mini := miniredis.NewMiniRedis()
	must(t, mini.StartAddr(testport.For(t).Address())) // which a restart uses again
	t.Cleanup(mini.Close)
	var passed time.Duration
	return &server{
		url: "redis://" + mini.Addr(), network: "tcp", addr: mini.Addr(),
		stop:  mini.Close,
		start: func() { must(t, mini.Restart()) },
		pass: func(d time.Duration) {
			passed += d
			mini.SetTime(time.Now().Add(passed))
			mini.FastForward(d)
		},
	}
}

// redisServer listens on a Unix socket, because another process could take a port between stop
// and start.
func redisServer(t testing.TB) *server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server on this machine")
	}
	dir, err := os.MkdirTemp("", "redis") // t.TempDir is too long for a socket
	must(t, err)
	socket := filepath.Join(dir, "redis.sock")
	s := &server{url: "unix://" + socket, network: "unix", addr: socket}

	var cmd *exec.Cmd
	s.start = func() {
		cmd = exec.Command(program, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no")
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "ready to accept connections") {
				return
			}
		}
		t.Fatal("redis-server ended before it was ready")
	}
	s.stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	// Time itself cannot be moved here, but what it is compared with can.
	s.pass = func(d time.Duration) {
		c := open(t, s.url)
		keys, err := c.Keys(t.Context(), "*").Result()
		must(t, err)
		for _, key := range keys {
			must(t, c.IncrByFloat(t.Context(), key, -d.Seconds()).Err())
		}
	}

	s.start()
	t.Cleanup(func() { s.stop(); _ = os.RemoveAll(dir) })
	return s
}

func open(t testing.TB, url string) *Client {
	t.Helper()
	c, err := Open(url)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// patiently is open without the bound of 100 ms, for tests that prove numbers, not
// timings: on a busy machine, calls must not time out.
func patiently(t testing.TB, url string) *Client {
	t.Helper()
	return within(t, url, testwait.Limit)
}

func within(t testing.TB, url string, limit time.Duration) *Client {
	t.Helper()
	c, err := OpenWithTimeout(url, limit)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newLimiter(t testing.TB, c *Client) *Limiter {
	t.Helper()
	l := NewLimiter(c)
	t.Cleanup(l.Close)
	return l
}

func patient(t testing.TB, url string) *Limiter {
	t.Helper()
	return newLimiter(t, patiently(t, url))
}

// proxy stands between a client and Redis and holds answers back while its mutex is locked.
type proxy struct {
	sync.Mutex
	url      string
	asked    atomic.Int64 // pieces of requests that came through
	answered int          // pieces of answers that were passed on
}

func slow(t testing.TB, s *server) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })

	p := &proxy{url: "redis://" + ln.Addr().String()}
	go func() {
		for {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			go p.join(down, s)
		}
	}()
	return p
}

func (p *proxy) join(down net.Conn, s *server) {
	defer down.Close()
	up, err := net.Dial(s.network, s.addr)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		defer up.Close()
		pump(up, down, func() { p.asked.Add(1) })
	}()
	pump(down, up, p.wait)
}

// wait waits until the answers are no longer held back.
func (p *proxy) wait() {
	p.Lock()
	defer p.Unlock()
	p.answered++
}

func pump(to, from net.Conn, before func()) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		before()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hook answers in place of Redis.
type hook func(ctx context.Context, cmd goredis.Cmder) error

func (h hook) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h hook) ProcessHook(goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error { return h(ctx, cmd) }
}

func (h hook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}
