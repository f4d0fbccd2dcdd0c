package app

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// answerWhileStarting serves the ports of a server that still connects: /livez is 200, /readyz and all
// else 503 with Retry-After (SPEC F18). Without it, probes would hang until the database is there, and
// an orchestrator would restart a process that only waits. The server can listen on the ports after stop
// has returned; connections that were not accepted are kept for it.
func answerWhileStarting(on listeners, log *slog.Logger) (stop func()) {
	var stops []func()
	for _, l := range []net.Listener{on.public, on.internal} {
		if tcp, ok := l.(*net.TCPListener); ok {
			stops = append(stops, serveStarting(tcp, l == on.probes(), log))
		}
	}
	return sync.OnceFunc(func() {
		for _, stop := range stops {
			stop()
		}
	})
}

func serveStarting(l *net.TCPListener, hasProbes bool, log *slog.Logger) (stop func()) {
	c := web.Config(web.Options{Log: log})
	c.DisableKeepalive = true
	app := fiber.New(c)
	app.Use(web.Headers())
	if hasProbes {
		app.Get("/livez", func(c *fiber.Ctx) error { return c.SendString("ok\n") })
		app.Get("/readyz", func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderRetryAfter, "1")
			return c.Status(http.StatusServiceUnavailable).SendString("starting\n")
		})
	}
	app.Use(func(*fiber.Ctx) error {
		return fault.New(fault.KindUnavailable, "unavailable", "The server is starting; try again.").WithRetryAfter(time.Second)
	})

	borrowed := &borrowedListener{TCPListener: l}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = app.Listener(borrowed) // ends with the listener
	}()
	return func() {
		_ = borrowed.Close() // Shutdown does not know a listener that it does not serve yet
		_ = app.ShutdownWithTimeout(time.Second)
		<-ended
		_ = l.SetDeadline(time.Time{})
	}
}

// borrowedListener is a listener that stays open when it is closed.
type borrowedListener struct {
	*net.TCPListener
	closed atomic.Bool
}

// Accept returns net.ErrClosed after Close.
func (b *borrowedListener) Accept() (net.Conn, error) {
	if b.closed.Load() {
		return nil, net.ErrClosed
	}
	conn, err := b.TCPListener.Accept()
	if err != nil && b.closed.Load() {
		return nil, net.ErrClosed
	}
	return conn, err
}

// Close ends Accept.
func (b *borrowedListener) Close() error {
	b.closed.Store(true)
	return b.SetDeadline(time.Unix(1, 0))
}
