package orders_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// front is a node's API on a real socket, without the rest of the product: who asks
// is in a header.
type front struct {
	*bundle
	addr   string
	client *http.Client
}

func open(t *testing.T, b *bundle) *front {
	t.Helper()
	app := fiber.New(web.Config())
	who := map[string]identity.Caller{"alice": b.alice, "bob": b.bob, "admin": b.admin}
	app.Use(web.Recover(b.Log), web.RequestID(), web.Deadline(testwait.Limit), web.JSONOnly(), func(c *fiber.Ctx) error {
		if caller, known := who[c.Get("X-Caller")]; known {
			c.SetUserContext(identity.NewContext(c.UserContext(), caller))
		}
		if within, err := time.ParseDuration(c.Get("Test-Within")); err == nil {
			return web.Deadline(within)(c)
		}
		return c.Next()
	})
	api := web.New(app, web.Options{Log: b.Log})
	b.Routes(api)
	payments.New(payments.Deps{Pool: b.pool, Provider: b.bank}).Routes(api, b.Module)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(ln) }()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := app.ShutdownWithTimeout(testwait.Limit); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &front{bundle: b, addr: ln.Addr().String(), client: client}
}

// send sends "METHOD path" as a caller, with headers as "Name: value". The body is
// the caller's to close.
func (f *front) send(who, what, body string, headers ...string) *http.Response {
	f.t.Helper()
	method, path, _ := strings.Cut(what, " ")
	req, err := http.NewRequestWithContext(f.ctx, method, "http://"+f.addr+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("X-Caller", who)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (f *front) ask(who, what, body string, headers ...string) (status int, answer string) {
	f.t.Helper()
	res := f.send(who, what, body, headers...)
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}
