package app

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

type loss struct {
	name     string
	key      bool // it is an API key that is used
	webhooks bool
	status   int // of what the credential was good for, afterwards
	end      func(s *stage)
}

// losses are the ways in which a credential or its rights end. webhooks tells whether what
// it made ends as well: what a session made is its owner's.
var losses = []loss{
	{"logout", false, false, 401, func(s *stage) { s.actor.want(204, "POST", "/v1/auth/logout", "") }},
	{"session ended", false, false, 401, func(s *stage) {
		s.logIn(s.owner.email, userPassword).want(204, "DELETE", "/v1/auth/sessions/"+sessionOf(s.actor), "")
	}},
	{"session expired", false, false, 401, func(s *stage) { s.exec(`update sessions set expires_at = now() where id = $1`, sessionOf(s.actor)) }},
	{"password changed", false, false, 401, func(s *stage) {
		s.actor.want(200, "POST", "/v1/auth/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":"a loud red evening"}`, userPassword))
	}},
	{"demoted", false, true, 403, func(s *stage) { s.root.want(200, "PATCH", "/v1/users/"+s.id, `{"role":"user"}`) }},
	{"deactivated", false, true, 401, func(s *stage) { s.root.want(200, "PATCH", "/v1/users/"+s.id, `{"active":false}`) }},
	{"deleted", false, true, 401, func(s *stage) { s.root.want(204, "DELETE", "/v1/users/"+s.id, "") }},
	{"key revoked", true, true, 401, func(s *stage) { s.owner.want(204, "DELETE", "/v1/api-keys/"+s.key, "") }},
	{"key expired", true, true, 401, func(s *stage) { // an hour passes
		s.exec(`update api_keys set expires_at = expires_at - interval '1 hour' where id = $1`, s.key)
		s.exec(`update revocations set at = at - interval '1 hour' where session_id = $1`, s.key)
	}},
	{"key's owner demoted", true, true, 403, func(s *stage) { s.root.want(200, "PATCH", "/v1/users/"+s.id, `{"role":"user"}`) }},
	{"key's owner deactivated", true, true, 401, func(s *stage) { s.root.want(200, "PATCH", "/v1/users/"+s.id, `{"active":false}`) }},
}

// stage has a caller who sees all orders, with a session or an API key.
type stage struct {
	*server
	root, ann    *client
	owner, actor *client // the same but for a key
	id, key      string
	db           *pgxpool.Pool
}

func (s *stage) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) count(sql string, args ...any) (n int) {
	s.t.Helper()
	if err := s.db.QueryRow(s.t.Context(), sql, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// appear brings an administrator.
func (s *stage) appear(n int, key bool) {
	s.t.Helper()
	s.owner = s.user(fmt.Sprint("second", n))
	s.id = s.owner.want(200, "GET", "/v1/users/me", "").text("id")
	// The new role closes the sockets of the account once. The scene begins after that.
	probe := s.owner.socket("")
	probe.until("ready", "")
	s.root.want(200, "PATCH", "/v1/users/"+s.id, `{"role":"admin"}`)
	if code := probe.ended(); code != 4401 {
		s.t.Fatalf("the socket of a promoted user is closed with %d", code)
	}
	s.actor = s.owner
	if key {
		expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		a := s.owner.want(201, "POST", "/v1/api-keys", `{"name":"k","expiresAt":"`+expires+`","scopes":["orders:read","orders:write","events:read","webhooks:read","webhooks:write"]}`)
		s.key, s.actor = a.text("id"), &client{server: s.server, token: a.text("secret")}
	}
}

// open begins a request that lasts, and reads no more than it must.
func (c *client) open(path string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.base+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	way := &http.Transport{DisableKeepAlives: true, ReadBufferSize: 4 << 10, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
		}
		return conn, err
	}}
	res, err := way.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { res.Body.Close() })
	return res
}

// manyOrders are more than fits into the buffers between a server and a client that does
// not read.
func (s *stage) manyOrders() {
	s.t.Helper()
	owner := s.ann.want(200, "GET", "/v1/users/me", "").text("id")
	s.exec(`insert into orders (id, user_id, status, currency, total, version, note, created_at, updated_at)
		select ('01800000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, $1, 'COMPLETED', 'EUR', 1, 1, repeat('n', 2000), now(), now()
		from generate_series(1, 8000) i`, owner)
}

// scene is one loss, with everything that was opened before it.
type scene struct {
	*stage
	loss   loss
	before string // an order of ann's from before the loss, cancelled by the actor
	after  string // one from after it; empty until everything that ends has ended
	// control receives the deliveries of a webhook whose owner keeps the permission. When it has received
	// the event of an order, a delivery to the other webhooks would have been made as well.
	control <-chan told
}

// opened is one resource that is in use when the right to it ends. ends waits until it has ended, and
// after checks that it discloses nothing of scene.after; either may be nil.
type opened struct{ ends, after func() }

// outliving are the resources that outlive the request that opened them (SPEC A5). The table in
// docs/security.md is made from this list.
var outliving = []struct {
	name string
	// What opens it or works for it: ids of operations, kinds of jobs, and tables of what expires.
	operations, jobs, tables []string
	checked                  string // when the right is checked again
	result                   string // when it has ended
	open                     func(s *scene) opened
}{
	{
		name: "socket", operations: []string{"event-socket"},
		checked: "on joining, and when the session or key ends, changes or expires", result: "closed with 4401",
		open: (*scene).openSocket,
	},
	{
		name: "event stream", operations: []string{"event-stream"},
		checked: "as for sockets", result: "a last `close` event with the code 4401",
		open: (*scene).openStream,
	},
	{
		name: "ticket of a socket", operations: []string{"create-ticket"}, tables: []string{"tickets"},
		checked: "when it is redeemed", result: "401; if the role has changed, a socket with the events of the present role",
		open: (*scene).openTicket,
	},
	{
		name: "export", operations: []string{"export-orders"},
		checked: "every half second, independent of the reading speed of the client",
		result:  "the connection is reset, so that the export never looks complete; data that were not sent are discarded",
		open:    (*scene).openExport,
	},
	{
		name: "stored response of an `Idempotency-Key`", operations: []string{"every operation that accepts one"}, tables: []string{"idempotency_keys"},
		checked: "before it is returned: the role at the time of the first request, and whether the caller may still see the order or webhook",
		result:  "the response to the request without the key; 409 `order-deleted` for an order that was deleted since",
		open:    (*scene).openStoredResponse,
	},
	{
		name: "delivery to a webhook", operations: []string{"create-webhook"}, jobs: []string{"webhook_deliver", "webhook_backlog"},
		checked: "when it is stored, and at every attempt",
		result: "held, and the webhook is disabled with the reason `credential`, if the key that created it has ended; " +
			"withheld if the owner may no longer see the order. A webhook that a session created belongs to its owner and ends with the account",
		open: (*scene).openWebhook,
	},
	{
		name: "refresh token", operations: []string{"login", "refresh", "change-password"}, tables: []string{"sessions", "refresh_tokens"},
		checked: "when it is used", result: "401 `invalid-refresh-token`; if the role has changed, tokens of the present role",
		open: (*scene).openRefreshToken,
	},
	{
		name: "API key", operations: []string{"create-api-key", "rotate-api-key"}, tables: []string{"api_keys"},
		checked: "at every request", result: "401 when the key or its account has ended; a session that ends, and a new password, leave the keys of the account; a key has the present role of its owner",
		open: (*scene).openKey,
	},
	{
		name: "code to reset a password or to verify an address, invitation", operations: []string{"request-password-reset", "start-password-reset", "send-verification", "create-invitation"},
		tables:  []string{"account_tokens", "invitations"},
		checked: "when it is used", result: "422 `invalid-reset-token` or `invalid-verification-token`, if the account has ended or its password was changed",
		open: (*scene).openReset,
	},
	{
		name: "replay of a webhook", operations: []string{"create-replay"}, jobs: []string{"webhook_replay"},
		checked: "at every batch of deliveries, and at every attempt", result: "stopped if the webhook is disabled; its deliveries are withheld if the owner may no longer see the orders",
		open: (*scene).openReplay,
	},
	{
		name: "long poll", operations: []string{"list-events"},
		checked: "after joining and before the response",
		result:  "401; if the role has changed, an empty page with the same cursor, from which the client continues",
		open:    (*scene).openPoll, // last, since an order that another resource places would be its response
	},
}

// systemJobs act for no caller, so nothing that a caller loses concerns them.
var systemJobs = map[string]string{
	"order_process": "an accepted order is processed even if the account that placed it has ended",
	"users_mail":    "a message goes to the address that the account has when it is sent, and tells what has happened",
}

// A5, A8, C3, C12, E2; ASVS 5.0 7.4.1, 8.3.2: nothing that outlives its request outlives
// its right, whatever opened it and however the right ends.
func TestNothingOutlivesItsRight(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := &stage{server: serveTest(t, cfg)}
	var err error
	if s.db, err = pgxpool.New(t.Context(), cfg.DatabaseURL.Reveal()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.db.Close)
	s.root, s.ann = s.admin(), s.user("ann")
	s.root.product("KETTLE", 1000)
	s.manyOrders()
	control, told := receiver(t)
	s.root.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"types":["order.created"]}`, control))

	for i, loss := range losses {
		s.appear(i, loss.key)
		(&scene{stage: s, loss: loss, control: told}).play()
	}
}

func (s *scene) play() {
	s.t.Helper()
	var all []opened
	for _, resource := range outliving {
		all = append(all, resource.open(s))
	}
	s.loss.end(s.stage)
	for _, o := range all {
		if o.ends != nil {
			o.ends()
		}
	}
	s.after = s.ann.order("KETTLE", 1)
	if in := nextTold(s.t, s.control); in.Subject != s.after {
		s.t.Fatalf("%s: told %s", s.loss.name, in.raw)
	}
	for _, o := range all {
		if o.after != nil {
			o.after()
		}
	}
}

func (s *scene) errorf(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf(s.loss.name+": "+format, args...)
}

func (s *scene) openSocket() opened {
	socket := s.actor.socket("?types=order.created")
	socket.until("ready", "")
	return opened{ends: func() {
		if code := socket.ended(); code != 4401 {
			s.errorf("the socket is closed with %d", code)
		}
	}}
}

func (s *scene) openStream() opened {
	stream := bufio.NewReader(s.actor.open("/v1/events/stream?types=order.created").Body)
	for line := ""; !strings.Contains(line, "ready"); {
		var err error
		if line, err = stream.ReadString('\n'); err != nil {
			s.t.Fatal(s.loss.name, line, err)
		}
	}
	return opened{ends: func() {
		rest, err := io.ReadAll(stream)
		if err != nil || !strings.Contains(string(rest), fmt.Sprint(`"code":`, 4401)) {
			s.errorf("the stream ends with %v after %s", err, rest)
		}
	}}
}

// openPoll begins to wait before the right is lost: otherwise it would be a request with the new rights.
func (s *scene) openPoll() opened {
	const open = "orderflow_sockets_open"
	before := s.metric(open)
	poll := s.poll(s.actor)
	testwait.Until(s.t, "the poll to wait", func() bool { return s.metric(open) > before })
	return opened{after: func() {
		if a := <-poll; a.status != 401 && (a.status != 200 || a.text("data.0.id") != "") {
			s.errorf("the poll is answered %.500s, the order from after the loss is %s, the account %s", a, s.after, s.id)
		}
	}}
}

// openTicket gets a ticket. A caller who was demoted may still redeem it and then sees their own orders
// only: the first order on the socket is one of their own, placed after that of ann.
func (s *scene) openTicket() opened {
	ticket := s.actor.ticket()
	s.exec(`update tickets set expires_at = now() + interval '1 hour' where user_id = $1`, s.id) // on a slow machine it would expire meanwhile
	since := s.actor.latest()
	return opened{after: func() {
		conn, a := s.actor.dial("?types=order.created&after="+since+"&ticket="+ticket, nil)
		if s.loss.status == 401 {
			if conn != nil || a.status != 401 {
				s.errorf("the ticket is answered %s", a)
			}
			return
		}
		if conn == nil {
			s.errorf("the ticket is answered %s", a)
			return
		}
		defer conn.Close()
		own := s.actor.order("KETTLE", 1)
		if in := nextTold(s.t, s.control); in.Subject != own {
			s.t.Fatalf("%s: told %s", s.loss.name, in.raw)
		}
		for {
			m, err := (&socket{s.t, conn}).next()
			if err != nil || m.Type == "order.created" {
				if err != nil || m.Subject != own {
					s.errorf("the socket of the ticket has %v, %v, not the own order %s", m, err, own)
				}
				return
			}
		}
	}}
}

func (s *scene) openExport() opened {
	export := s.actor.open("/v1/orders/export?format=ndjson")
	if export.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: the export is %d", s.loss.name, export.StatusCode)
	}
	const exporting = `select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
		and ((classid::bigint << 32) | objid::bigint) = hashtextextended('export of ' || $1, 0)`
	id := s.id
	testwait.Until(s.t, "it to export", func() bool { return s.count(exporting, id) == 1 })
	return opened{ends: func() {
		testwait.Until(s.t, "the export of a "+s.loss.name+" to end", func() bool { return s.count(exporting, id) == 0 })
		if n, err := io.Copy(io.Discard, export.Body); err == nil {
			s.errorf("the export looks complete with %d bytes", n)
		}
	}}
}

func (s *scene) openStoredResponse() opened {
	s.before = s.ann.order("KETTLE", 1)
	if in := nextTold(s.t, s.control); in.Subject != s.before {
		s.t.Fatalf("%s: told %s", s.loss.name, in.raw)
	}
	s.actor.want(200, "POST", "/v1/orders/"+s.before+"/cancel", "", "Idempotency-Key: k")
	return opened{after: func() {
		kept := s.actor.send("POST", "/v1/orders/"+s.before+"/cancel", "", "Idempotency-Key: k")
		if want := map[int]int{401: 401, 403: 404}[s.loss.status]; kept.status != want {
			s.errorf("a stored response is %s", kept)
		}
	}}
}

// hook makes a webhook of the actor, to which one order is delivered.
func (s *scene) hook() (id string, got <-chan told) {
	url, received := receiver(s.t)
	id = s.actor.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"types":["order.created"]}`, url)).text("id")
	order := s.ann.order("KETTLE", 1)
	for _, heard := range []<-chan told{s.control, received} {
		if in := nextTold(s.t, heard); in.Subject != order {
			s.t.Fatalf("%s: told %s", s.loss.name, in.raw)
		}
	}
	return id, received
}

func (s *scene) openWebhook() opened {
	const underWay = `select count(*) from webhook_deliveries where webhook_id = $1 and status in ('pending', 'waiting')`
	hook, got := s.hook()
	return opened{after: func() {
		if !s.loss.webhooks {
			for nextTold(s.t, got).Subject != s.after { // one that was placed before the loss
			}
			return
		}
		testwait.Until(s.t, "nothing to be under way", func() bool { return s.count(underWay, hook) == 0 })
		for len(got) > 0 {
			if in := <-got; in.Subject == s.after {
				s.errorf("the webhook received %s", in.raw)
			}
		}
	}}
}

// openReset makes a code that a message would contain. What ends the account or changes the password
// ends it as well.
func (s *scene) openReset() opened {
	secret := sha256.Sum256([]byte(s.id))
	hash := sha256.Sum256(secret[:])
	s.exec(`insert into account_tokens (user_id, purpose, hash, expires_at) values ($1, 'password-reset', $2, now() + interval '1 hour')`, s.id, hash[:])
	ends := map[string]bool{"password changed": true, "deactivated": true, "deleted": true, "key's owner deactivated": true}
	return opened{after: func() {
		if !ends[s.loss.name] {
			return
		}
		body := fmt.Sprintf(`{"token":%q,"newPassword":"a third green morning"}`, base64.RawURLEncoding.EncodeToString(secret[:]))
		if a := s.ann.send("POST", "/v1/auth/password-reset/confirm", body); !a.is(422, "invalid-reset-token") {
			s.errorf("the code is answered %s", a)
		}
	}}
}

// openReplay begins a replay that takes half a minute, so that it still runs when the right ends.
func (s *scene) openReplay() opened {
	hook, got := s.hook()
	const more = 30
	item := `{"items":[{"sku":"KETTLE","quantity":1}]}`
	s.ann.want(200, "POST", "/v1/orders/bulk", `{"orders":[`+strings.TrimSuffix(strings.Repeat(item+",", more), ",")+`]}`)
	for range more {
		nextTold(s.t, s.control)
		nextTold(s.t, got)
	}
	replay := s.actor.want(202, "POST", "/v1/webhooks/"+hook+"/replays", `{"from":1,"rate":1}`).text("id")
	nextTold(s.t, got)
	stopped := func() bool {
		return s.count(`select count(*) from webhook_replays where id = $1 and status = 'stopped'`, replay) == 1
	}
	// On a slow machine the replay may be done before the right ends, so that nothing is left to withhold.
	withheld := func() bool {
		return s.count(`select count(*) from webhook_deliveries where webhook_id = $1 and status = 'withheld'`, hook) >= 2 ||
			s.count(`select count(*) from webhook_replays where id = $1 and status = 'done'`, replay) == 1
	}
	return opened{
		ends: func() {
			if s.loss.webhooks {
				testwait.Until(s.t, "the replay to end after "+s.loss.name, func() bool { return stopped() || withheld() })
			}
		},
		after: func() {
			if !s.loss.webhooks && stopped() {
				s.errorf("a replay of the owner's was stopped")
			}
			for s.loss.webhooks && len(got) > 0 {
				if in := <-got; in.Subject == s.after {
					s.errorf("the webhook of the replay received %s", in.raw)
				}
			}
		},
	}
}

func (s *scene) openRefreshToken() opened {
	if s.loss.key {
		return opened{} // a key has none
	}
	token := s.actor.refresh
	return opened{after: func() {
		a := s.actor.send("POST", "/v1/auth/refresh", fmt.Sprintf(`{"refreshToken":%q}`, token))
		if s.loss.status == 401 && !a.is(401, "invalid-refresh-token") || s.loss.status != 401 && a.status != 200 {
			s.errorf("the refresh is answered %s", a)
		}
	}}
}

// openKey makes another key of the account, which none of the losses of a session or of one key ends.
func (s *scene) openKey() opened {
	_, machine := s.owner.key("orders:read")
	return opened{after: func() {
		want := 200
		if strings.Contains(s.loss.name, "deactivated") || s.loss.name == "deleted" {
			want = 401
		}
		if a := machine.send("GET", "/v1/orders/"+s.before, ""); s.loss.status == 403 && a.status != 404 || s.loss.status != 403 && a.status != want {
			s.errorf("another key is answered %s", a)
		}
	}}
}

// latest returns the cursor behind the last event.
func (c *client) latest() string {
	c.t.Helper()
	for after := ""; ; {
		a := c.want(200, "GET", "/v1/events?limit=500&types=order.created"+after, "")
		if a.at("data.0") == nil {
			return a.text("nextCursor")
		}
		after = "&after=" + a.text("nextCursor")
	}
}

// poll waits for others' orders, for longer than anything here takes.
func (s *stage) poll(c *client) <-chan answer {
	answers := make(chan answer, 1)
	cursor := c.latest()
	go func() {
		defer close(answers)
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, c.base+"/v1/events?wait=20&types=order.created&after="+cursor, http.NoBody)
		if err != nil {
			s.t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		res, err := (&http.Client{}).Do(req)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer res.Body.Close()
		a := answer{status: res.StatusCode}
		if a.raw, err = io.ReadAll(res.Body); err == nil {
			err = json.Unmarshal(a.raw, &a.body)
		}
		if err != nil {
			s.t.Error(err)
		}
		answers <- a
	}()
	return answers
}

// A8: the finding itself: a key with only a webhooks scope causes no delivery.
func TestWebhooksOfAWeakKey(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root := s.admin()
	_, weak := root.key("webhooks:write")
	url, _ := receiver(t)
	a := weak.want(403, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q}`, url))
	if !a.is(403, "scope-missing") || a.text("scope") != "events:read" {
		t.Errorf("%s", a)
	}
	id := root.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q}`, url)).text("id")
	weak.want(403, "PATCH", "/v1/webhooks/"+id, fmt.Sprintf(`{"url":%q}`, url+"/other"))
	weak.want(403, "POST", "/v1/webhooks/"+id+"/replays", `{"from":1,"rate":100}`)
}
