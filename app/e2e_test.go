package app

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// The whole of it: register, log in, place, watch it become PROCESSING, read it.
func TestFirstOrder(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	s.admin().product("KETTLE", 5)
	ann := s.user("ann")
	stream := ann.socket("")
	stream.until("ready", "")

	placed := ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":2}],"reference":"PO-1","metadata":{"shop":7}}`, "Idempotency-Key: one")
	id := placed.text("id")

	types, last := stream.until("order.processing", id)
	if want := []string{"order.created", "stock.reserved", "payment.authorized", "order.confirmed", "order.processing"}; !slices.Equal(types, want) {
		t.Errorf("saw %v", types)
	}
	if placed.header.Get("Location") != "/v1/orders/"+id || placed.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("headers are %v", placed.header)
	}
	got := ann.want(200, "GET", "/v1/orders/"+id, "")
	if got.text("status") != "PROCESSING" || got.header.Get("ETag") != `"5"` || last.Version != 5 || got.at("total.amount") == nil {
		t.Errorf("order is %s", got)
	}
	ann.want(304, "GET", "/v1/orders/"+id, "", `If-None-Match: "5"`)
	if h := ann.want(200, "GET", "/v1/orders/"+id+"/events", ""); h.text("data.4.actor") != "system" || h.text("data.4.cursor") != last.Cursor {
		t.Errorf("history is %s", h)
	}
	again := ann.want(201, "POST", "/v1/orders", `{"metadata":{"shop":7},"reference":"PO-1","items":[{"sku":"KETTLE","quantity":2}]}`, "Idempotency-Key: one")
	if again.header.Get("Idempotency-Replayed") != "true" || !bytes.Equal(again.raw, placed.raw) {
		t.Errorf("replay is %s", again)
	}
}

// A7: on every route of the table, an insufficient role is a 403, and a missing or invalid
// credential is a 401 with a challenge.
func TestRolesOnEveryRoute(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	anonymous, user := s.anonymous(), s.user("ann")
	forged := &client{server: s, token: "eyJhbGciOiJub25lIn0.e30."}

	for _, r := range described().Routes() {
		path := strings.NewReplacer("{id}", "0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11", "{sku}", "NONE").Replace(r.Path)
		if r.Role == "anyone" {
			continue
		}
		for name, c := range map[string]*client{"anonymous": anonymous, "forged": forged} {
			a, err := c.try(r.Method, path, "")
			if err != nil {
				t.Fatal(err)
			}
			if a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") || a.header.Get("RateLimit") != "" {
				t.Errorf("%s %s by %s: %s", r.Method, r.Path, name, a)
			}
		}
		if r.Role != "admin" {
			continue
		}
		if a, err := user.try(r.Method, path, ""); err != nil || a.status != 403 {
			t.Errorf("%s %s by a user: %s, %v", r.Method, r.Path, a, err)
		}
	}
}

// Decisions: problem+json everywhere, also where no route is reached.
func TestProblemsEverywhere(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	ann := s.user("ann")
	rows := []struct {
		method, path, body, header string
		status                     int
		code                       string
	}{
		{"GET", "/nowhere", "", "", 404, "not-found"},
		{"GET", "/v1/Orders", "", "", 404, "not-found"},
		{"PUT", "/v1/orders", "{}", "", 405, "method-not-allowed"},
		{"POST", "/v1/orders", `{"items":`, "", 400, "malformed"},
		{"POST", "/v1/orders", `<xml/>`, "Content-Type: text/xml", 415, "unsupported-media-type"},
		{"POST", "/v1/orders", `{"note":"` + strings.Repeat("x", 300<<10) + `"}`, "", 413, "too-large"},
		{"GET", "/v1/orders?limit=0&colour=red", "", "", 400, "malformed"},
		{"GET", "/v1/orders?cursor=abc", "", "", 400, "malformed"},
		{"GET", "/v1/orders/17", "", "", 400, "malformed"},
		{"POST", "/v1/orders", `{"items":[{"sku":"NOPE","quantity":1}]}`, "", 422, "invalid"},
		{"POST", "/v1/orders", `{"items":[{"sku":"A","quantity":1}]}`, "Idempotency-Key: with space", 400, "malformed"},
	}
	for _, row := range rows {
		var headers []string
		if row.header != "" {
			headers = append(headers, row.header)
		}
		a, err := ann.try(row.method, row.path, row.body, headers...)
		if err != nil {
			t.Errorf("%s %s: %v", row.method, row.path, err)
			continue
		}
		if a.status != row.status || a.text("code") != row.code || a.header.Get("Content-Type") != "application/problem+json" || a.text("requestId") == "" {
			t.Errorf("%s %s: want %d %s, got %s", row.method, row.path, row.status, row.code, a)
		}
		if row.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("405 without Allow")
		}
	}
}

// G1, A5, E2: two nodes are one product: an event placed on one is heard on the
// other, and a session ended on one is ended on the other within a second, its
// sockets closed with 4401.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	one, two := serveTest(t, cfg), serveTest(t, cfg)
	one.admin().product("KETTLE", 100)
	ann := one.user("ann")
	stream := ann.on(two).socket("")
	stream.until("ready", "")

	id := ann.order("KETTLE", 1)
	stream.until("order.processing", id)

	ann.want(204, "POST", "/v1/auth/logout", "")
	ann.on(two).changesSoon("the session's end", "/v1/users/me", 200, 401)
	for {
		if _, err := stream.next(); err != nil {
			if !websocket.IsCloseError(err, 4401) {
				t.Errorf("socket ended with %v", err)
			}
			break
		}
	}
	ann.want(401, "POST", "/v1/auth/refresh", fmt.Sprintf(`{"refreshToken":%q}`, ann.refresh))
}

// A5: a change of role takes effect on the next request, with the same token.
func TestDemotionTakesEffect(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root, ann := s.admin(), s.user("ann")
	me := ann.want(200, "GET", "/v1/users/me", "").text("id")

	root.want(200, "PATCH", "/v1/users/"+me, `{"role":"admin"}`)
	ann.changesSoon("the promotion", "/v1/users", 403, 200)
	root.want(200, "PATCH", "/v1/users/"+me, `{"role":"user"}`)
	ann.changesSoon("the demotion", "/v1/users", 200, 403)
	root.want(200, "PATCH", "/v1/users/"+me, `{"active":false}`)
	ann.changesSoon("the deactivation", "/v1/users/me", 200, 401)
}

// F4: limits hold exactly over two nodes; every answer carries the fields; 429 says
// when to come back.
func TestLimitIsExactOverTwoNodes(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.RateLimit = config.Limit{Count: 20, Period: time.Hour * 20}
	one, two := serveTest(t, cfg), serveTest(t, cfg)

	counted := hammer(t, one.user("ann"), one, two)

	if counted[200] != 20 || counted[429] != 40 {
		t.Errorf("answers by status: %v", counted)
	}
	if n := one.metric("orderflow_limiter_local_decisions_total") + two.metric("orderflow_limiter_local_decisions_total"); n != 0 {
		t.Errorf("%v calls were counted by one node alone", n)
	}
}

// hammer sends 60 requests over two nodes at once and counts the answers.
func hammer(t *testing.T, c *client, nodes ...*server) map[int]int {
	t.Helper()
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		counted = map[int]int{}
	)
	for i := range 60 {
		c := c.on(nodes[i%len(nodes)])
		all.Go(func() {
			a, err := c.try("GET", "/v1/users/me", "")
			if err != nil {
				t.Error(err)
				return
			}
			if a.header.Get("RateLimit") == "" || a.header.Get("RateLimit-Policy") != `"default";q=20;w=72000` ||
				a.status == 429 && (a.header.Get("Retry-After") == "" || a.text("code") != "rate-limited") {
				t.Errorf("answer %s, %v", a, a.header)
			}
			mu.Lock()
			counted[a.status]++
			mu.Unlock()
		})
	}
	all.Wait()
	return counted
}

// F4, E5: without Redis orders are accepted without delay, limits still hold, and
// events still arrive within 2 s; Redis coming back is noticed by itself.
func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	redis := pgtest.NewRedis(t)
	cfg := settings(t)
	cfg.RedisURL = config.Secret(redis.URL)
	cfg.RateLimit = config.Limit{Count: 1000, Period: time.Second}
	one, two := serveTest(t, cfg), serveTest(t, cfg)
	one.admin().product("KETTLE", 1000)
	ann := one.user("ann")
	stream := ann.on(two).socket("")
	stream.until("ready", "")

	redis.Stop()
	for range 5 {
		id := ann.order("KETTLE", 1)
		if _, m := stream.until("order.created", id); m.Subject != id {
			t.Errorf("saw %v", m)
		}
	}
	if h, err := one.anonymous().try("GET", "/health", ""); err != nil || h.status != 200 || h.text("status") != "degraded" {
		t.Errorf("health is %s, %v", h, err)
	}

	redis.Start()
	testwait.Until(t, "Redis to be used again", func() bool {
		h, err := one.anonymous().try("GET", "/health", "")
		return err == nil && h.text("status") == "ok"
	})
}

// E6: stopping says 1001 first, and the client resumes on the other node.
func TestStoppingNodeHandsItsSocketsOver(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	one, two := serveTest(t, cfg), serveTest(t, cfg)
	one.admin().product("KETTLE", 1000)
	ann := one.user("ann")
	stream := ann.socket("")
	stream.until("ready", "")
	first := ann.order("KETTLE", 1)
	_, last := stream.until("order.processing", first)

	one.stop()
	var closed error
	for closed == nil {
		_, closed = stream.next()
	}
	second := ann.on(two).order("KETTLE", 1)
	types, _ := ann.on(two).socket("?after="+last.Cursor).until("order.processing", second)

	if !websocket.IsCloseError(closed, websocket.CloseGoingAway) {
		t.Errorf("closed with %v", closed)
	}
	if want := []string{"ready", "order.created", "stock.reserved", "payment.authorized", "order.confirmed", "order.processing"}; !slices.Equal(types, want) {
		t.Errorf("resumed with %v", types)
	}
}

// F5: the document is OpenAPI 3.1 and names every route.
func TestDocument(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))

	doc, err := s.anonymous().try("GET", "/openapi.json", "")

	if err != nil || doc.status != 200 || !strings.HasPrefix(doc.text("openapi"), "3.1") {
		t.Fatalf("document is %.200s, %v", doc, err)
	}
	paths, _ := doc.at("paths").(map[string]any)
	for _, r := range described().Routes() {
		item, _ := paths[r.Path].(map[string]any)
		if item[strings.ToLower(r.Method)] == nil {
			t.Errorf("%s %s is not described", r.Method, r.Path)
		}
	}
	if page, err := s.anonymous().try("GET", "/docs", ""); err != nil || page.status != http.StatusOK || !strings.Contains(string(page.raw), "<html") {
		t.Errorf("docs: %v, %v", page.status, err)
	}
}
