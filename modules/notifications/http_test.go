package notifications

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC E2, and everything else that is refused while there still is an answer.
func TestRefusalsBeforeTheUpgrade(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	gone := h.login(identity.User)
	h.sessions.logout(gone)
	rows := []struct {
		name   string
		who    *identity.Caller
		query  string
		header string // "Name: value"; an empty value removes one
		status int
		code   string
	}{
		{"foreign origin", &h.alice, "", "Origin: https://evil.example", 403, "foreign-origin"},
		{"anonymous from a foreign origin", nil, "", "Origin: https://evil.example", 401, "unauthenticated"},
		{"anonymous", nil, "", "", 401, "unauthenticated"},
		{"a session that is over", &gone, "", "", 401, "invalid-token"},
		{"a ticket that never was", nil, "ticket=t-1", "", 401, "invalid-ticket"},
		{"a token in the URL", nil, "access_token=" + h.alice.SessionID.String(), "", 401, "unauthenticated"},
		{"a token in the URL beside a good one", &h.alice, "access_token=" + h.alice.SessionID.String(), "", 400, "malformed"},
		{"a token for a ticket", nil, "ticket=" + h.alice.SessionID.String(), "", 401, "invalid-ticket"},
		{"a ticket and a token", &h.alice, "ticket=t-1", "", 401, "two-credentials"},
		{"plain GET", &h.alice, "", "Upgrade:", 426, "upgrade-required"},
		{"no key", &h.alice, "", "Sec-Websocket-Key:", 426, "upgrade-required"},
		{"another version", &h.alice, "", "Sec-Websocket-Version: 8", 426, "upgrade-required"},
		{"another user's orders", &h.alice, "userId=" + h.bob.UserID.String(), "", 403, "forbidden"},
		{"all users' orders by the zero id", &h.alice, "userId=" + uuid.Nil.String(), "", 400, "malformed"},
		{"the zero id as an administrator", &h.admin, "userId=" + uuid.Nil.String(), "", 400, "malformed"},
		{"not a user", &h.admin, "userId=me", "", 400, "malformed"},
		{"not a cursor", &h.alice, "after=1", "", 400, "malformed"},
		{"unknown parameter", &h.alice, "since=1", "", 400, "malformed"},
	}
	for _, row := range rows {
		header := upgrade.Clone()
		if row.who != nil {
			header.Set("Authorization", "Bearer "+row.who.SessionID.String())
		}
		if name, value, ok := strings.Cut(row.header, ":"); ok {
			header.Del(name)
			if value != "" {
				header.Set(name, strings.TrimSpace(value))
			}
		}

		status, answered, body := n.call("GET", socketPath+"?"+row.query, header)

		var problem struct{ Code string }
		_ = json.Unmarshal([]byte(body), &problem)
		if status != row.status || problem.Code != row.code || answered.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %s", row.name, status, answered.Get("Content-Type"), body)
		}
		if status == 426 && answered.Get("Upgrade") != "websocket" {
			t.Errorf("%s: a 426 must say to what", row.name)
		}
	}
	if !n.isOpen(0) {
		t.Error("a refused request became a socket")
	}
}

// SPEC E2: a ticket is good for one connection.
func TestTicketIsGoodOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	if status, _, body := n.call("POST", "/v1/events/tickets", nil); status != 401 {
		t.Errorf("without credentials: %d %s", status, body)
	}
	status, _, body := n.call("POST", "/v1/events/tickets", bearer(h.alice))
	var got struct {
		Ticket    string
		ExpiresAt time.Time
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 201 || got.Ticket == "" || got.ExpiresAt.Before(time.Now()) {
		t.Fatalf("%d %s", status, body)
	}

	conn, resp, err := websocket.DefaultDialer.Dial(n.target("ticket="+got.Ticket), nil)
	if err != nil {
		t.Fatalf("%v %s", err, bodyOf(resp))
	}
	defer conn.Close()
	c := &client{t, conn}
	if first := c.next(); first.Type != "ready" {
		t.Errorf("%+v", first)
	}
	h.commit(eventOf(h.bob, "order.created"), eventOf(h.alice, "order.created"))
	c.expect(h.truth(h.alice.UserID))

	if _, resp, err := websocket.DefaultDialer.Dial(n.target("ticket="+got.Ticket), nil); err == nil || resp.StatusCode != 401 {
		t.Errorf("a second time: %v %s", err, bodyOf(resp))
	}
	// Elsewhere a ticket is no credential.
	if status, _, body := n.call("POST", "/v1/events/tickets?ticket="+got.Ticket, nil); status != 401 {
		t.Errorf("as a credential: %d %s", status, body)
	}
}

func TestNotReadyIs503(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.hub.at.Epoch = "unknown" }) // as if the tail never said where it is

	_, resp, err := websocket.DefaultDialer.Dial(n.target(""), bearer(h.alice))

	if err == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%v %s", err, bodyOf(resp))
	}
}
