package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/audit"
)

// key creates an API key and returns it with a client that uses it.
func (c *client) key(scopes ...string) (id string, machine *client) {
	c.t.Helper()
	list, err := json.Marshal(scopes)
	if err != nil {
		c.t.Fatal(err)
	}
	a := c.want(201, "POST", "/v1/api-keys", `{"name":"machine","scopes":`+string(list)+`}`)
	return a.text("id"), &client{server: c.server, token: a.text("secret")}
}

// ended reads until the socket is closed and returns the code.
func (s *socket) ended() int {
	s.t.Helper()
	for {
		_, err := s.next()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			return closed.Code
		}
		if err != nil {
			s.t.Fatalf("waiting for the close frame: %v", err)
		}
	}
}

// A8: a key orders, reads, hears of it on another node, and is in the history; its
// end closes its sockets there within 5 s and opens nothing within 1 s, while its
// owner goes on.
func TestAPIKeyFromEndToEnd(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	one, two := serveTest(t, cfg), serveTest(t, cfg)
	one.admin().product("KETTLE", 100)
	ann := one.user("ann")
	id, machine := ann.key("orders:read", "orders:write", "events:read")
	me := ann.want(200, "GET", "/v1/users/me", "").text("id")
	stream := machine.on(two).socket("")
	byTicket := machine.on(two).socketByTicket()
	own := ann.on(two).socket("")
	for _, s := range []*socket{stream, byTicket, own} {
		s.until("ready", "")
	}

	order := machine.order("KETTLE", 1)
	for _, s := range []*socket{stream, byTicket, own} {
		s.until("order.processing", order)
	}
	want := "user:" + me + "/key:" + id
	if h := ann.want(200, "GET", "/v1/orders/"+order+"/events", ""); h.text("data.0.actor") != want {
		t.Errorf("the history names %q, want %q", h.text("data.0.actor"), want)
	}
	machine.want(200, "GET", "/v1/orders/"+order, "")
	if a := machine.want(403, "GET", "/v1/orders/"+order+"/refunds", ""); a.text("code") != "scope-missing" || a.text("scope") != "payments:read" {
		t.Errorf("without the scope: %s", a)
	}
	testwait.Until(t, "lastUsedAt", func() bool {
		return ann.want(200, "GET", "/v1/api-keys/"+id, "").text("lastUsedAt") != ""
	})

	ann.want(204, "DELETE", "/v1/api-keys/"+id, "")
	machine.want(401, "GET", "/v1/orders", "")
	machine.on(two).changesSoon("the key", "/v1/orders", 200, 401)
	for name, s := range map[string]*socket{"header": stream, "ticket": byTicket} {
		if code := s.ended(); code != 4401 {
			t.Errorf("socket opened by %s: closed with %d", name, code)
		}
	}
	next := ann.order("KETTLE", 1)
	own.until("order.processing", next)
}

// A5: of keys and webhooks that are created or enabled while the account is deactivated, none stays
// valid.
func TestAccountEndsWhileItCreates_A5(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	one, two := serveTest(t, cfg), serveTest(t, cfg)
	root := one.admin()
	conn, err := connectToVerify(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for i := range 8 {
		ann := one.user(fmt.Sprint("ann", i))
		me := ann.want(200, "GET", "/v1/users/me", "").text("id")
		hook := ann.want(201, "POST", "/v1/webhooks", `{"url":"http://127.0.0.1:65001/","enabled":false}`).text("id")
		var all sync.WaitGroup
		for _, s := range []*server{one, two} {
			c := ann.on(s)
			all.Go(func() { c.send("POST", "/v1/api-keys", `{"name":"late","scopes":["orders:read"]}`) })
			all.Go(func() { c.send("POST", "/v1/webhooks", `{"url":"http://127.0.0.1:65001/"}`) })
			all.Go(func() { c.send("PATCH", "/v1/webhooks/"+hook, `{"enabled":true}`) })
		}
		all.Go(func() {
			if i%2 == 0 {
				root.want(200, "PATCH", "/v1/users/"+me, `{"active":false}`)
			} else {
				root.want(204, "DELETE", "/v1/users/"+me, "")
			}
		})
		all.Wait()
	}

	if report, err := verify(t.Context(), conn, audit.Keys{}, false, 10, nil); err != nil || report.Broken != 0 {
		t.Errorf("%v, %+v", err, report)
	}
}

// socketByTicket opens a socket as a browser does.
func (c *client) socketByTicket() *socket {
	c.t.Helper()
	conn, a := c.dial("?ticket="+c.ticket(), nil)
	if conn == nil {
		c.t.Fatalf("with a ticket: %s", a)
	}
	return &socket{c.t, conn}
}

// A8, A5: an administrator's key loses its rights with the role, another node included, and every
// key ends with the account. A deactivated account that is activated again does not get its keys
// and webhooks back, and orderflow verify finds none left.
func TestKeysFallWithTheirOwner(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	one, two := serveTest(t, cfg), serveTest(t, cfg)
	root, ann := one.admin(), one.user("ann")
	me := ann.want(200, "GET", "/v1/users/me", "").text("id")
	_, machine := ann.key("dead-letters:read", "events:read")
	machine = machine.on(two)
	turns := []struct {
		change string
		status int
	}{
		{`{"role":"admin"}`, 200}, {`{"role":"user"}`, 403}, {`{"role":"admin"}`, 200}, {`{"active":false}`, 401}, {`{"active":true}`, 401},
	}
	hook := ann.want(201, "POST", "/v1/webhooks", `{"url":"http://127.0.0.1:65001/"}`).text("id")
	before := 403
	machine.want(before, "GET", "/v1/dead-letters", "")
	for _, turn := range turns {
		root.want(200, "PATCH", "/v1/users/"+me, turn.change)
		machine.changesSoon(turn.change, "/v1/dead-letters", before, turn.status)
		before = turn.status
	}
	ann = one.logIn(ann.email, userPassword)
	if list := ann.want(200, "GET", "/v1/api-keys", ""); len(list.body["data"].([]any)) != 0 {
		t.Errorf("keys came back: %s", list)
	}
	if got := ann.want(200, "GET", "/v1/webhooks/"+hook, ""); got.body["enabled"] != false || got.text("disabledReason") != "account" {
		t.Errorf("the webhook came back: %s", got)
	}
	ann.want(200, "PATCH", "/v1/webhooks/"+hook, `{"enabled":true}`)

	id, machine := ann.key("events:read")
	machine = machine.on(two)
	stream := machine.socket("")
	stream.until("ready", "")
	root.want(204, "DELETE", "/v1/users/"+me, "")
	machine.changesSoon("the account's end", "/v1/dead-letters", 403, 401)
	if code := stream.ended(); code != 4401 {
		t.Errorf("closed with %d", code)
	}
	if entry := root.want(200, "GET", "/v1/audit?action=api-key.revoked&subjectId="+id, ""); !strings.Contains(entry.String(), "account-deleted") {
		t.Errorf("the audit trail: %s", entry)
	}
	conn, err := connectToVerify(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if report, err := verify(t.Context(), conn, audit.Keys{}, false, 10, nil); err != nil || report.Broken != 0 {
		t.Errorf("%v, %+v", err, report)
	}
}

// A8, F4: a key is on its owner's budget; more keys are not more requests.
func TestKeysShareTheirOwnersLimit(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.RateLimit.Count, cfg.RateLimit.Period = 12, time.Hour
	s := serveTest(t, cfg)
	ann := s.user("ann") // the log-in is on the address
	_, first := ann.key("orders:read")
	_, second := ann.key("orders:read")
	counted := map[int]int{}

	for i := range 18 {
		c := []*client{ann, first, second}[i%3]
		counted[c.send("GET", "/v1/orders", "").status]++
	}

	if counted[200] != 10 || counted[429] != 8 {
		t.Errorf("answers by status: %v", counted)
	}
}

// A8, C9: what a key did was done by its owner: verify finds each move legal.
func TestVerifyKnowsKeys(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	root, ann := s.admin(), s.user("ann")
	root.product("RARE", 0)
	_, machine := ann.key("orders:read", "orders:write")
	_, manager := root.key("orders:read", "orders:write")
	for _, c := range []*client{machine, manager} {
		id := machine.want(201, "POST", "/v1/orders", `{"onShortage":"hold","items":[{"sku":"RARE","quantity":1}]}`).text("id")
		machine.becomes(id, "ON_HOLD")
		c.want(200, "POST", "/v1/orders/"+id+"/cancel", `{}`)
	}

	conn, err := connectToVerify(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	report, err := verify(t.Context(), conn, audit.Keys{}, false, 10, nil)
	if err != nil || report.Broken != 0 {
		t.Errorf("%v, %+v", err, report)
	}
}
