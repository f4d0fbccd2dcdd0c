package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// parts are pieces from a function, with a signal when they are closed.
type parts struct {
	next   func(ctx context.Context, n int) ([]byte, error)
	asked  int
	ended  atomic.Int32
	closed chan struct{}
}

func (p *parts) Next(ctx context.Context) ([]byte, error) {
	p.asked++
	return p.next(ctx, p.asked)
}

func (p *parts) Close() {
	if p.ended.Add(1) == 1 {
		close(p.closed)
	}
}

func (p *parts) wait(t *testing.T) {
	t.Helper()
	testwait.For(t, "the end of the stream", p.closed)
}

// streaming listens with one route that streams.
func streaming(t *testing.T, cfg fiber.Config, patience time.Duration, next func(ctx context.Context, n int) ([]byte, error)) (*parts, *fiber.App, string) {
	t.Helper()
	p := &parts{next: next, closed: make(chan struct{})}
	app := fiber.New(cfg)
	app.Use(Recover(nil), RequestID(), Deadline(50*time.Millisecond))
	api := New(app, Options{})
	Handle(api, Route{Method: "GET", Path: "/v1/export", Name: "export", Role: identity.Anyone, Produces: "text/csv, text/plain"},
		func(context.Context, *struct{}) (*Stream, error) {
			return NewStream(p, StreamOptions{ContentType: "text/csv", Filename: "all.csv", WriteTimeout: patience}), nil
		})
	return p, app, listen(t, app)
}

func get(t *testing.T, method, addr string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testwait.Limit)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+"/v1/export", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// C12: it arrives as it was made, longer than the deadline of the route and the
// write time-out of the server.
func TestStreamIsWhole(t *testing.T) {
	t.Parallel()
	cfg := Config()
	cfg.WriteTimeout = 100 * time.Millisecond
	piece := []byte(strings.Repeat("0123456789", 1000))
	p, _, addr := streaming(t, cfg, time.Minute, func(ctx context.Context, n int) ([]byte, error) {
		if n > 20 {
			return nil, io.EOF
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
			return piece, nil
		}
	})

	res := get(t, "GET", addr)
	raw, err := io.ReadAll(res.Body)

	if err != nil || len(raw) != 20*len(piece) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	if res.Header.Get("Content-Type") != "text/csv" || res.Header.Get("Content-Disposition") != `attachment; filename="all.csv"` {
		t.Errorf("%v", res.Header)
	}
	p.wait(t)
	if p.ended.Load() != 1 {
		t.Errorf("closed %d times", p.ended.Load())
	}
}

// C12: what ends in an error, or a panic, never looks complete.
func TestBrokenStreamIsCut(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("the database went away") },
		"panic": func() error { panic("oh") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _, addr := streaming(t, Config(), time.Minute, func(_ context.Context, n int) ([]byte, error) {
				if n > 2 {
					return nil, fail()
				}
				return []byte("piece\n"), nil
			})

			raw, err := io.ReadAll(get(t, "GET", addr).Body)

			if !errors.Is(err, io.ErrUnexpectedEOF) || string(raw) != "piece\npiece\n" {
				t.Errorf("%q, %v", raw, err)
			}
			p.wait(t)
		})
	}
}

func endless(context.Context, int) ([]byte, error) { return make([]byte, 1<<20), nil }

// C12: a client that does not read is cut, and one that is gone is noticed.
func TestStreamToDisconnectedClient(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(net.Conn){
		"slow": func(net.Conn) {},
		"gone": func(c net.Conn) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := time.Minute
			if name == "slow" {
				patience = 50 * time.Millisecond
			}
			p, _, addr := streaming(t, Config(), patience, endless)
			var dialer net.Dialer
			conn, err := dialer.DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET /v1/export HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
				t.Fatal(err)
			}

			leave(conn)

			p.wait(t)
		})
	}
}

// A stopping server does not wait for a download.
func TestStreamEndsWithTheServer(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	p, app, addr := streaming(t, Config(), time.Minute, func(ctx context.Context, n int) ([]byte, error) {
		if n == 1 {
			return []byte("piece\n"), nil
		}
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	res := get(t, "GET", addr)
	<-begun

	if err := app.ShutdownWithTimeout(testwait.Limit); err != nil {
		t.Error(err)
	}

	p.wait(t)
	if _, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client was told %v", err)
	}
}

// A HEAD shows the headers of a GET, and makes nothing.
func TestHeadOfAStream(t *testing.T) {
	t.Parallel()
	p, _, addr := streaming(t, Config(), time.Minute, endless)

	res := get(t, "HEAD", addr)

	p.wait(t)
	if res.StatusCode != 200 || res.Header.Get("Content-Disposition") == "" || p.asked != 0 {
		t.Errorf("%d %v, %d pieces", res.StatusCode, res.Header, p.asked)
	}
}
