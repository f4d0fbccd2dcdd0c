package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
)

// loss is a way in which a credential or its rights end.
type loss struct {
	name     string
	does     string
	key      bool // the credential is an API key
	webhooks bool // what it created ends as well; what a session created is its owner's
	end      func(x *trial, h *holder)
}

// holder is an administrator who loses the rights, with a session or a key.
type holder struct {
	owner, actor *caller // the same but for a key
	key          string  // its id
	session      string
}

func losses() []loss {
	admin := func(method string, body any) func(x *trial, h *holder) {
		return func(x *trial, h *holder) {
			x.want(map[string]int{"PATCH": http.StatusOK, "DELETE": http.StatusNoContent}[method], x.root(h.owner.node), method, "/v1/users/"+h.owner.id, body)
		}
	}
	return []loss{
		{"logout", "logs out", false, false, func(x *trial, h *holder) { x.want(http.StatusNoContent, h.owner, "POST", "/v1/auth/logout", nil) }},
		{"ended-session", "ends the session from another one", false, false, func(x *trial, h *holder) {
			x.want(http.StatusNoContent, x.again(h.owner), "DELETE", "/v1/auth/sessions/"+h.session, nil)
		}},
		{"expired-session", "lets the session expire", false, false, func(x *trial, h *holder) {
			_, err := h.owner.db.Exec(x, `update sessions set expires_at = now() where id = $1`, h.session)
			x.must(err, "expire the session")
		}},
		{"new-password", "changes the password", false, false, func(x *trial, h *holder) {
			x.want(http.StatusOK, h.owner, "POST", "/v1/auth/password", fields{"currentPassword": h.owner.pass, "newPassword": otherPassword})
		}},
		{"demotion", "takes the role away", false, true, admin("PATCH", fields{"role": "user"})},
		{"deactivation", "deactivates the account", false, true, admin("PATCH", fields{"active": false})},
		{"deletion", "deletes the account", false, true, admin("DELETE", nil)},
		{"revoked-key", "revokes the key", true, true, func(x *trial, h *holder) {
			x.want(http.StatusNoContent, x.again(h.owner), "DELETE", "/v1/api-keys/"+h.key, nil)
		}},
		{"expired-key", "lets the key expire", true, true, func(x *trial, h *holder) {
			_, err := h.owner.db.Exec(x, `update api_keys set expires_at = expires_at - interval '1 hour' where id = $1`, h.key)
			x.must(err, "expire the key")
			_, err = h.owner.db.Exec(x, `update revocations set at = at - interval '1 hour' where session_id = $1`, h.key)
			x.must(err, "expire the key")
		}},
		{"demotion-of-owner", "takes the role of the key's owner away", true, true, admin("PATCH", fields{"role": "user"})},
		{"deactivation-of-owner", "deactivates the key's owner", true, true, admin("PATCH", fields{"active": false})},
	}
}

// outliveAttacks keep a socket, a stream, a long poll, an export, a stored response and a webhook
// open while their credential ends. Nothing may be disclosed after a second, by sockets and streams
// after five (SPEC A5).
func outliveAttacks() (list []attack) {
	for _, l := range losses() {
		list = append(list, attack{
			name: "outlive-" + l.name, refs: "CWE-613; ASVS 7.4.1, 8.3.2", need: private, slow: l.name != "revoked-key",
			does: "Keeps a socket, stream, poll, export, stored response and webhook open, and " + l.does + ".",
			do:   func(x *trial) { x.outlive(l) },
		})
	}
	return list
}

// watch collects what a connection disclosed.
type watch struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ended bool
	code  int // of a socket that was closed, or of a response
}

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *watch) end(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.code = true, code
}

func (w *watch) has(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

func (w *watch) isEnded() (bool, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended, w.code
}

func (x *trial) outlive(l loss) {
	n := x.fresh()
	victim, sku := x.user(n), x.product(n, -1)
	x.fill(n, victim)
	h := x.holder(n, l)
	mine := x.receiver(nil)
	x.hook(h.actor, mine.url, "types", []string{"order.created"})
	before := x.order(victim, sku, "note", "private")
	if !x.within(10*time.Second, func() bool { return !mine.told(before).IsZero() }) {
		x.fatal("the webhook does not receive before the loss")
	}
	x.want(http.StatusOK, h.actor, "POST", "/v1/orders/"+before+"/cancel", fields{}, "Idempotency-Key: k")
	socket, stream, poll := x.watchSocket(h.actor), x.watchStream(h.actor), x.watchPoll(h.actor)
	exporting, cancel := context.WithTimeout(x, 30*time.Second) // also if it goes on for longer
	defer cancel()
	export, err := h.actor.stream(exporting, "/v1/orders/export?format=ndjson", 16<<10)
	x.must(err, "export")
	defer export.Body.Close()
	if export.StatusCode != http.StatusOK {
		x.fatal("the export is %d", export.StatusCode)
	}

	l.end(x, h)
	ended := time.Now()

	x.pause(time.Second + 200*time.Millisecond)
	first := x.order(victim, sku, "note", "private")
	kept := h.actor.send(x, "POST", "/v1/orders/"+before+"/cancel", fields{}, "Idempotency-Key: k")
	if strings.Contains(string(kept.raw), "private") {
		x.found("the stored response is returned (%d)", kept.status)
	}
	count, err := io.Copy(io.Discard, export.Body)
	x.figure("export: %.1f MB", float64(count)/1e6)
	if err == nil {
		x.found("the export is complete with %.1f MB", float64(count)/1e6)
	} else if count > 8<<20 { // buffers of the kernel hold less
		x.found("%.1f MB of the export arrive", float64(count)/1e6)
	}
	x.within(5200*time.Millisecond-time.Since(ended), func() bool { a, _ := socket.isEnded(); b, _ := stream.isEnded(); return a && b })
	took := time.Since(ended)
	closed, code := socket.isEnded()
	x.figure("socket and stream closed within %s (%d)", short(took), code)
	if !closed {
		x.found("the socket is open after %s", short(took))
	} else if code != 4401 {
		x.found("the socket was closed with %d", code)
	}
	if closed, _ := stream.isEnded(); !closed {
		x.found("the stream is open after %s", short(took))
	}
	second := x.order(victim, sku)
	x.pause(time.Second)
	if socket.has(second) || stream.has(second) {
		x.found("an event of an order is received %s after the loss", short(took))
	}
	if poll.has(first) || poll.has(second) {
		x.found("the long poll tells an order that was placed 1.2 s after the loss")
	}
	if got := mine.told(first); l.webhooks && !got.IsZero() {
		x.found("the webhook receives an order that was placed 1.2 s after the loss")
	}
}

// holder makes an administrator, and a key of one if the loss is about keys.
func (x *trial) holder(n *node, l loss) *holder {
	h := &holder{owner: x.administrator(n)}
	h.actor = h.owner
	h.session, _ = payload(h.owner.token)["sid"].(string)
	if l.key {
		a := x.want(http.StatusCreated, h.owner, "POST", "/v1/api-keys", fields{
			"name": "k", "expiresAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
			"scopes": []string{"orders:read", "orders:write", "events:read", "webhooks:read", "webhooks:write"},
		})
		h.key = a.text("id")
		h.actor = x.caller(n)
		h.actor.token, h.actor.id = a.text("secret"), h.owner.id
	}
	return h
}

// fill stores more orders than fit into the buffers between a server and a client that does not
// read.
func (x *trial) fill(n *node, owner *caller) {
	_, err := n.db.Exec(x, `insert into orders (id, user_id, status, currency, total, version, note, created_at, updated_at)
		select gen_random_uuid(), $1, 'COMPLETED', 'EUR', 1, 1, repeat('n', 2000), now(), now() from generate_series(1, 12000)`, uuid.MustParse(owner.id))
	x.must(err, "store orders")
}

func (x *trial) watchSocket(c *caller) *watch {
	w := &watch{}
	conn, _, err := c.socket(x, "?types=order.created")
	x.must(err, "open a socket")
	x.atEnd(func() { _ = conn.Close() })
	go func() {
		for {
			_, text, err := conn.ReadMessage()
			if err != nil {
				code := 0
				if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
					code = closed.Code
				}
				w.end(code)
				return
			}
			_, _ = w.Write(text)
		}
	}()
	if !x.within(10*time.Second, func() bool { return w.has("ready") }) {
		x.fatal("the socket is not ready")
	}
	return w
}

func (x *trial) watchStream(c *caller) *watch {
	w := &watch{}
	res, err := c.stream(x, "/v1/events/stream?types=order.created", 0)
	x.must(err, "open a stream")
	x.atEnd(func() { _ = res.Body.Close() })
	go func() {
		_, _ = io.Copy(w, res.Body)
		w.end(0)
	}()
	if !x.within(10*time.Second, func() bool { return w.has("ready") }) {
		x.fatal("the stream is not ready")
	}
	return w
}

func (x *trial) watchPoll(c *caller) *watch {
	w := &watch{}
	cursor := ""
	for { // to the end of the log
		a := x.want(http.StatusOK, c, "GET", "/v1/events?limit=500&after="+cursor, nil)
		next := a.text("nextCursor")
		if next == "" || next == cursor || a.text("data.0.id") == "" {
			break
		}
		cursor = next
	}
	ctx, cancel := context.WithCancel(x)
	x.atEnd(cancel)
	go func() {
		res, err := c.stream(ctx, "/v1/events?wait=20&types=order.created&after="+cursor, 0)
		if err != nil {
			w.end(0)
			return
		}
		defer res.Body.Close()
		in := bufio.NewReader(res.Body)
		_, _ = io.Copy(w, in)
		w.end(res.StatusCode)
	}()
	x.pause(100 * time.Millisecond) // so that it waits when the credential ends
	if over, status := w.isEnded(); over {
		x.fatal("the long poll ended at once: %s", fmt.Sprint(status))
	}
	return w
}
