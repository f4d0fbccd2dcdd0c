package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

func TestRolesAndRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "/v1/baskets/0190a0a0-0000-7000-8000-000000000001"
	const plain, invalid = `Bearer realm="orderflow"`, `Bearer realm="orderflow", error="invalid_token"`
	rows := []struct {
		method, path, role string
		status             int
		code, header       string
	}{
		{"GET", id, "", 401, "unauthenticated", "WWW-Authenticate: " + plain},
		{"GET", id, "bad", 401, "token-expired", "WWW-Authenticate: " + invalid},
		{"GET", id, "user", 403, "forbidden", ""},
		{"GET", id, "admin", 200, "", "Content-Type: application/json"},
		{"HEAD", id, "admin", 200, "", ""},
		{"HEAD", id, "", 401, "", ""},
		{"DELETE", id, "admin", 204, "", ""},
		{"GET", "/v1/baskets", "bad", 200, "", "Cache-Control: no-store"},
		{"GET", "/v1/stream", "", 401, "unauthenticated", "WWW-Authenticate: " + plain},
		{"GET", "/v1/stream", "user", 200, "", ""},
		{"GET", "/v1/nothing", "", 404, "not-found", ""},
		{"GET", "/v1/baskets/", "", 404, "not-found", ""},
		{"GET", "/V1/baskets", "", 404, "not-found", ""},
		{"PUT", "/v1/baskets", "", 405, "method-not-allowed", "Allow: GET, HEAD, POST"},
		{"BREW", "/v1/baskets", "", 405, "method-not-allowed", "Allow: GET, HEAD, POST"},
		{"OPTIONS", "/v1/stream", "", 204, "", "Allow: GET, OPTIONS"},
		{"OPTIONS", "/v1/nothing", "", 404, "not-found", ""},
		{"BREW", "/v1/nothing", "", 404, "not-found", ""},
	}
	for _, row := range rows {
		t.Run(row.method+row.path+row.role, func(t *testing.T) {
			t.Parallel()

			got := b.do(t, row.method, row.path, "", "X-Role", row.role)

			if got.StatusCode != row.status || row.code != "" && !strings.Contains(got.body, `"code":"`+row.code+`"`) {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
			if row.method == http.MethodHead && got.body != "" {
				t.Errorf("HEAD has a body: %s", got.body)
			}
			if got.Header.Get("X-Request-Id") != "req-1" || got.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", got.Header)
			}
			if name, value, ok := strings.Cut(row.header, ": "); ok && got.Header.Get(name) != value {
				t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
			}
		})
	}
}

func TestRenderedIsSentByteForByte(t *testing.T) {
	t.Parallel()

	got := setup(t).do(t, "GET", "/v1/baskets/0190a0a0-0000-7000-8000-000000000001", "", "X-Role", "admin")

	if got.body != `{ "sku" : "0190a0a0-0000-7000-8000-000000000001"}` {
		t.Error(got.body)
	}
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for header, status := range map[string]int{
		"Content-Type: application/json; charset=utf-8":   201,
		"Content-Type: Application/JSON":                  201,
		"Content-Type: application/json; charset=latin1":  415,
		"Content-Type: text/plain":                        415,
		"Content-Type: application/x-www-form-urlencoded": 415,
		"Content-Type: multipart/form-data; boundary=x":   415,
		"Content-Type: application/vnd.api+json":          415,
		"Content-Type: ":                                  415,
		"Content-Encoding: gzip":                          415,
		"Content-Encoding: identity":                      201,
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			name, value, _ := strings.Cut(header, ": ")
			if got := b.do(t, "POST", "/v1/baskets", `{`+goodItems+`}`, "X-Role", "user", name, value); got.StatusCode != status {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
		})
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	public := &bundle{app: fiber.New(Config())}
	public.app.Use(RequestID())
	public.app.Get("/v1/empty", func(c *fiber.Ctx) error { return c.SendString(RequestIDFrom(c.UserContext())) })
	for sent, kept := range map[string]bool{"abc": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a b": false, "é": false} {
		got := b.do(t, "GET", "/v1/empty", "", "X-Request-Id", sent).Header.Get("X-Request-Id")
		if (got == sent) != kept || got == "" {
			t.Errorf("%q became %q", sent, got)
		}

		res := public.do(t, "GET", "/v1/empty", "", "X-Request-Id", sent)
		id, beside := res.Header.Get("X-Request-Id"), res.Header.Get("X-Client-Request-Id")
		if _, err := uuid.Parse(id); err != nil || res.body != id || (beside == sent) != kept || !kept && beside != "" {
			t.Errorf("%q became %q beside %q, to handlers %q", sent, id, beside, res.body)
		}
	}
}

// listen serves the app on a real socket: some refusals come before any handler.
func listen(t *testing.T, app *fiber.App) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(ln) }()
	t.Cleanup(func() {
		if err := app.ShutdownWithTimeout(testwait.Limit); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func send(t *testing.T, addr, raw string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestRefusedBeforeHandlers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	Handle(b.api, Route{Method: "POST", Path: "/v1/bulk", Name: "bulk", Role: identity.Anyone, MaxBody: 1 << 20},
		func(context.Context, *struct{ Body []string }) (*struct{}, error) { return nil, nil })
	addr := listen(t, b.app)
	long := `["` + strings.Repeat("x", 300<<10) + `"]`
	post := func(path, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: mine\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	for name, row := range map[string]struct {
		raw    string
		status int
	}{
		"large":      {post("/v1/baskets", "")[:len(post("/v1/baskets", ""))-5] + "3000000\r\n\r\n", 413},
		"bulk":       {post("/v1/bulk?", long), 400},
		"bulk fits":  {post("/v1/bulk", long), 204},
		"big header": {"GET /v1/empty HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", 431},
		"not HTTP":   {"GET /v1/empty secret\x00\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			res := send(t, addr, row.raw)
			var body bytes.Buffer
			_, _ = body.ReadFrom(res.Body)
			if name == "bulk" {
				return // an empty query is as good as none
			}
			if res.StatusCode != row.status || res.Header.Get("X-Request-Id") == "" {
				t.Fatalf("%d %v %s", res.StatusCode, res.Header, body.String())
			}
			if row.status >= 400 && (res.Header.Get("Content-Type") != problemType || strings.Contains(body.String(), "secret")) {
				t.Errorf("%v %s", res.Header, body.String())
			}
		})
	}
}

// ASVS 5.0 15.2.2, API4:2023: a client that sends slowly, or stops sending, is disconnected
// after ReadTimeout in any case, and does not delay other clients.
func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	cfg := Config(Options{Log: slog.New(slog.DiscardHandler)})
	if cfg.ReadTimeout != 10*time.Second || cfg.IdleTimeout != time.Minute || cfg.WriteTimeout != 30*time.Second {
		t.Errorf("time-outs %s, %s, %s", cfg.ReadTimeout, cfg.IdleTimeout, cfg.WriteTimeout)
	}
	const short = 300 * time.Millisecond
	cfg.ReadTimeout, cfg.IdleTimeout = short, short
	app := fiber.New(cfg)
	Handle(New(app, Options{}), Route{Method: "POST", Path: "/v1/slow", Name: "slow", Role: identity.Anyone, Status: 200},
		func(context.Context, *struct{ Body struct{} }) (*struct{ Body string }, error) {
			return &struct{ Body string }{"taken"}, nil
		})
	addr := listen(t, app)
	const head = "POST /v1/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, row := range map[string]struct{ first, drops, says string }{
		"nothing":          {"", "", ""},
		"half a head":      {head, "", "408"},
		"a head in drops":  {"", strings.Repeat(head, 9), "408"},
		"no end of heads":  {head, strings.Repeat("A: b\r\n", 99), "408"},
		"half a body":      {head + "Content-Length: 9\r\n\r\n{", "", "408"},
		"a body in drops":  {head + "Content-Length: 999\r\n\r\n{", strings.Repeat(" ", 900), "408"},
		"half a chunk":     {head + "Transfer-Encoding: chunked\r\n\r\n9\r\n{", "", "408"},
		"chunks in drops":  {head + "Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\n \r\n", 99), "408"},
		"no end of a size": {head + "Transfer-Encoding: chunked\r\n\r\n1;", strings.Repeat("a", 900), "408"},
		"nothing more":     {head + "Content-Length: 2\r\n\r\n{}", "", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			drip := time.NewTicker(10 * time.Millisecond)
			defer drip.Stop()
			_ = conn.SetDeadline(time.Now().Add(testwait.Limit))

			_, err = conn.Write([]byte(row.first))
			for drop := row.drops; drop != "" && err == nil; drop = drop[1:] {
				<-drip.C
				_, err = conn.Write([]byte(drop[:1])) // fails once the server has had enough
			}
			said, err := io.ReadAll(conn)

			if isReset := errors.Is(err, syscall.ECONNRESET); err != nil && !isReset || len(said) > 0 && !strings.HasPrefix(string(said), "HTTP/1.1 "+row.says) {
				t.Errorf("%v, %s", err, said)
			}
			if res := send(t, addr, head+"Content-Length: 2\r\n\r\n{}"); res.StatusCode != http.StatusOK {
				t.Errorf("the next one got %d", res.StatusCode)
			}
		})
	}
}

// TestNothingAliasesTheRequest keeps what handlers were given until many other
// requests have gone over the same connections. Without Immutable it fails.
func TestNothingAliasesTheRequest(t *testing.T) {
	t.Parallel()
	type kept struct{ path, query, header, body, id string }
	var mu sync.Mutex
	var all []kept
	app := fiber.New(Config())
	app.Use(TrustTraces(true), RequestID())
	api := New(app, Options{})
	Handle(api, Route{Method: "POST", Path: "/v1/keep/{p}", Name: "keep", Role: identity.Anyone},
		func(ctx context.Context, in *struct {
			Path   string `path:"p"`
			Query  string `query:"q"`
			Header string `header:"X-H"`
			Body   struct {
				B string `json:"b"`
			}
		}) (*struct{}, error) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, kept{in.Path, in.Query, in.Header, in.Body.B, RequestIDFrom(ctx)})
			return nil, nil
		})
	addr := listen(t, app)

	const workers, each = 16, 50
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := range each {
				id := fmt.Sprintf("id-%03d-%03d", w, i)
				req, _ := http.NewRequest(http.MethodPost, "http://"+addr+"/v1/keep/"+id+"?q="+id, strings.NewReader(`{"b":"`+id+`"}`))
				req.Header.Set("X-H", id)
				req.Header.Set("X-Request-Id", id)
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
			}
		})
	}
	wg.Wait()

	seen := map[string]bool{}
	for _, k := range all {
		if k.query != k.path || k.header != k.path || k.body != k.path || k.id != k.path {
			t.Fatalf("mixed up: %+v", k)
		}
		seen[k.path] = true
	}
	if len(seen) != workers*each {
		t.Errorf("%d distinct ids of %d", len(seen), workers*each)
	}
}

// SPEC A8, F5: the document says which credential opens a route, and which scope a
// key needs; a route that says nothing opens to no key.
func TestScopesAreDescribed(t *testing.T) {
	t.Parallel()
	api := New(fiber.New(), Options{})
	for name, r := range map[string]Route{
		"unsaid": {Role: identity.User}, "never": {Role: identity.Admin, Scope: identity.NoKeys},
		"scoped": {Role: identity.User, Scope: identity.OrdersRead}, "open": {Role: identity.Anyone, Scope: identity.NoKeys},
		"better": {Role: identity.Anyone, Scope: identity.ProductsRead},
	} {
		r.Method, r.Path, r.Name = "GET", "/v1/"+name, name
		Handle(api, r, func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
	}
	for name, want := range map[string]string{
		"unsaid": `no-keys [{"bearerAuth":[]}] Not open to API keys.`,
		"never":  `no-keys [{"bearerAuth":[]}] Not open to API keys.`,
		"scoped": "orders:read [{\"bearerAuth\":[]},{\"apiKeyAuth\":[\"orders:read\"]}] API keys need the scope `orders:read`.",
		"open":   "no-keys [] ",
		"better": "products:read [{},{\"bearerAuth\":[]},{\"apiKeyAuth\":[\"products:read\"]}] API keys need the scope `products:read`.",
	} {
		op := api.OpenAPI().Paths["/v1/"+name].Get
		security, err := json.Marshal(op.Security)
		if got := fmt.Sprintf("%v %s %s", op.Extensions["x-scope"], security, op.Description); err != nil || got != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
