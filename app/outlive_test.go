package app

import (
	"bufio"
	"context"
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

// losses are the ways in which a credential or its rights end. webhooks tells whether what
// it made ends as well: what a session made is its owner's.
var losses = []struct {
	name     string
	key      bool // it is an API key that is used
	webhooks bool
	status   int // of what the credential was good for, afterwards
	end      func(s *stage)
}{
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
	s.root.want(200, "PATCH", "/v1/users/"+s.id, `{"role":"admin"}`)
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

// A5, A8, C3, C12, E2; ASVS 5.0 7.4.1, 8.3.2: nothing that outlives its request outlives
// its right: a socket, a stream, a long poll, an export, a kept answer, a webhook.
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
		s.play(t, loss.name, loss.webhooks, loss.status, func() { loss.end(s) }, told)
	}
}

func (s *stage) play(t *testing.T, name string, webhooks bool, status int, end func(), control <-chan told) {
	t.Helper()
	url, got := receiver(t)
	hook := s.actor.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"types":["order.created"]}`, url)).text("id")
	before := s.ann.order("KETTLE", 1)
	for _, heard := range []<-chan told{control, got} {
		if in := nextTold(t, heard); in.Subject != before {
			t.Fatalf("%s: told %s", name, in.raw)
		}
	}
	s.actor.want(200, "POST", "/v1/orders/"+before+"/cancel", "", "Idempotency-Key: k")
	socket := s.actor.socket("?types=order.created")
	socket.until("ready", "")
	stream := bufio.NewReader(s.actor.open("/v1/events/stream?types=order.created").Body)
	for line := ""; !strings.Contains(line, "ready"); {
		if line, err := stream.ReadString('\n'); err != nil {
			t.Fatal(name, line, err)
		} else if strings.Contains(line, "ready") {
			break
		}
	}
	poll := s.poll(s.actor)
	export := s.actor.open("/v1/orders/export?format=ndjson")
	if export.StatusCode != http.StatusOK {
		t.Fatalf("%s: the export is %d", name, export.StatusCode)
	}
	const exporting = `select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
		and ((classid::bigint << 32) | objid::bigint) = hashtextextended('export of ' || $1, 0)`
	testwait.Until(t, "it to export", func() bool { return s.count(exporting, s.id) == 1 })

	end()

	if code := socket.ended(); code != 4401 {
		t.Errorf("%s: the socket is closed with %d", name, code)
	}
	rest, err := io.ReadAll(stream)
	if err != nil || !strings.Contains(string(rest), fmt.Sprint(`"code":`, 4401)) {
		t.Errorf("%s: the stream ends with %v after %s", name, err, rest)
	}
	testwait.Until(t, "the export of a "+name+" to end", func() bool { return s.count(exporting, s.id) == 0 })
	if n, err := io.Copy(io.Discard, export.Body); err == nil {
		t.Errorf("%s: the export looks complete with %d bytes", name, n)
	}
	after := s.ann.order("KETTLE", 1)
	if a := <-poll; a.status != 401 && (a.status != 200 || a.text("data.0.id") != "") {
		t.Errorf("%s: the poll is answered %s", name, a)
	}
	kept := s.actor.send("POST", "/v1/orders/"+before+"/cancel", "", "Idempotency-Key: k")
	if want := map[int]int{401: 401, 403: 404}[status]; kept.status != want {
		t.Errorf("%s: a kept answer is %s", name, kept)
	}
	if in := nextTold(t, control); in.Subject != after {
		t.Fatalf("%s: told %s", name, in.raw)
	}
	if !webhooks {
		if in := nextTold(t, got); in.Subject != after {
			t.Errorf("%s: the webhook received %s", name, in.raw)
		}
		return
	}
	const underWay = `select count(*) from webhook_deliveries where webhook_id = $1 and status in ('pending', 'waiting')`
	testwait.Until(t, "nothing to be under way", func() bool { return s.count(underWay, hook) == 0 })
	if len(got) > 0 {
		t.Errorf("%s: the webhook received %s", name, (<-got).raw)
	}
}

// poll waits for others' orders, for longer than anything here takes.
func (s *stage) poll(c *client) <-chan answer {
	answers := make(chan answer, 1)
	cursor := c.want(200, "GET", "/v1/events?limit=500", "").text("nextCursor")
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
