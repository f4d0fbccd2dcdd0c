package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// leased listens with one endless stream that has these options, and a client that
// takes the first line of the answer and no more.
func leased(t *testing.T, o StreamOptions) (*parts, net.Conn) {
	t.Helper()
	p := &parts{next: endless, closed: make(chan struct{})}
	app := fiber.New(Config())
	api := New(app, Options{})
	Handle(api, Route{Method: "GET", Path: "/v1/export", Name: "export", Role: identity.Anyone, Produces: "text/csv"},
		func(context.Context, *struct{}) (*Stream, error) { return NewStream(p, o), nil })
	addr := listen(t, app)
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET /v1/export HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return p, conn
}

// A5, C12: a stream ends when its caller's right does, also one whose client has much to
// take still, and does not look complete.
func TestStreamLosesItsLease(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]error{
		"credential": fault.New(fault.KindUnauthenticated, "invalid-token", "Over."),
		"role":       fault.New(fault.KindForbidden, "forbidden", "Another role."),
		"unknown":    errors.New("the database is away"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var over atomic.Bool
			p, conn := leased(t, StreamOptions{ContentType: "text/csv", WriteTimeout: time.Minute, Lease: func(context.Context) error {
				if over.Load() {
					return lost
				}
				return nil
			}})
			select {
			case <-p.closed:
				t.Fatal("it ends by itself")
			case <-time.After(2 * leaseEvery): // the window in which it must live, not a wait
			}

			over.Store(true)

			p.wait(t)
			raw, _ := io.ReadAll(conn)
			if strings.HasSuffix(string(raw), "0\r\n\r\n") {
				t.Error("it looks complete")
			}
		})
	}
}

// C12: a client that is slow all the time, though never over one piece, is cut, and so is
// a stream that lasts too long.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]StreamOptions{
		"rate": {MinRate: 1 << 40, RateAfter: 50 * time.Millisecond},
		"time": {MaxTime: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.ContentType, o.WriteTimeout = "text/csv", time.Minute
			p, _ := leased(t, o)
			p.wait(t)
		})
	}
}

// C12: only the time that the client takes counts against its rate.
func TestSlowSourceIsNotTheClients(t *testing.T) {
	t.Parallel()
	p := &parts{closed: make(chan struct{}), next: func(ctx context.Context, n int) ([]byte, error) {
		if n > 3 {
			return nil, io.EOF
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * leaseEvery):
			return []byte("piece\n"), nil
		}
	}}
	app := fiber.New(Config())
	Handle(New(app, Options{}), Route{Method: "GET", Path: "/v1/export", Name: "export", Role: identity.Anyone, Produces: "text/csv"},
		func(context.Context, *struct{}) (*Stream, error) {
			return NewStream(p, StreamOptions{ContentType: "text/csv", MinRate: 1 << 40, RateAfter: time.Second}), nil
		})

	raw, err := io.ReadAll(get(t, "GET", listen(t, app)).Body)

	if err != nil || string(raw) != "piece\npiece\npiece\n" {
		t.Errorf("%q, %v", raw, err)
	}
}
