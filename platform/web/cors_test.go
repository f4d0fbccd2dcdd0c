package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

const (
	allowOrigin = "Access-Control-Allow-Origin"
	basketPath  = "/v1/baskets/0190a0a0-0000-7000-8000-000000000001"
)

// SPEC E2: pages of a listed origin read every response, refusals and streams
// included; pages of other origins read none.
func TestCORSOnEveryResponse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.app.Get("/v1/limited", func(c *fiber.Ctx) error {
		return Fail(c, fault.New(fault.KindRateLimited, "rate-limited", "Too many requests."))
	})
	b.app.Get("/plain", func(c *fiber.Ctx) error { return c.SendString("plain") })
	rows := []struct {
		method, path, role, body string
		pairs                    []string
		status                   int
	}{
		{"GET", "/v1/empty", "", "", nil, 200},
		{"HEAD", "/v1/empty", "", "", nil, 200},
		{"POST", "/v1/baskets", "user", `{` + goodItems + `}`, nil, 201},
		{"DELETE", basketPath, "admin", "", nil, 204},
		{"GET", "/v1/stream", "user", "", nil, 200},
		{"GET", "/plain", "", "", nil, 200},
		{"POST", "/v1/baskets", "user", `{`, nil, 400},
		{"GET", "/v1/stream", "", "", nil, 401},
		{"GET", "/v1/stream", "bad", "", nil, 401},
		{"GET", basketPath, "user", "", nil, 403},
		{"GET", "/v1/nothing", "", "", nil, 404},
		{"PUT", "/v1/baskets", "", "", nil, 405},
		{"POST", "/v1/baskets", "user", `{"note":"` + strings.Repeat("x", 300<<10) + `"}`, nil, 413},
		{"POST", "/v1/baskets", "user", `x`, []string{"Content-Type", "text/plain"}, 415},
		{"POST", "/v1/baskets", "user", `{}`, nil, 422},
		{"GET", "/v1/limited", "", "", nil, 429},
		{"GET", "/v1/text/panic", "", "", nil, 500},
		{"GET", "/v1/fail/unavailable", "", "", nil, 503},
	}
	failures["unavailable"] = fault.Unavailable("The database", nil)
	for _, row := range rows {
		for origin, reads := range map[string]bool{
			"https://shop.example": true, "http://localhost:5173": true,
			"": false, "null": false, "*": false, "http://test": false, "https://test": false,
			"https://evil.example": false, "https://SHOP.example": false, "https://shop.example:443": false, "http://shop.example": false,
			"https://shop.example/": false, "https://shop.example.evil.example": false, "https://shop.example,https://evil.example": false,
			"http://localhost": false, "http://localhost:51733": false,
		} {
			t.Run(fmt.Sprint(row.method, row.path, row.status, " ", origin), func(t *testing.T) {
				t.Parallel()
				pairs := append([]string{"X-Role", row.role}, row.pairs...)
				if origin != "" {
					pairs = append(pairs, "Origin", origin)
				}

				got := b.do(t, row.method, row.path, row.body, pairs...)

				if got.StatusCode != row.status {
					t.Errorf("%d %s", got.StatusCode, got.body)
				}
				wantCORS(t, got.Header, origin, reads)
			})
		}
	}
}

func wantCORS(t *testing.T, h http.Header, origin string, reads bool) {
	t.Helper()
	if vary := strings.Join(h.Values("Vary"), ","); !strings.Contains(vary, "Origin") {
		t.Errorf("Vary: %q", vary)
	}
	if reads {
		if got := h.Values(allowOrigin); !slices.Equal(got, []string{origin}) {
			t.Errorf("%s: %q", allowOrigin, got)
		}
		if got := h.Values("Access-Control-Expose-Headers"); !slices.Equal(got, []string{corsResponseHeaders}) {
			t.Errorf("exposed: %q", got)
		}
	}
	for name := range h {
		if isCORS := strings.HasPrefix(name, "Access-Control-"); isCORS && !reads || name == "Access-Control-Allow-Credentials" {
			t.Errorf("%q is sent %s: %q", origin, name, h[name])
		}
	}
}

// SPEC E2: a preflight is answered before credentials, with the methods that the path
// has. A plain OPTIONS request gets the same methods in Allow from any origin (RFC 9110 section 9.3.7).
func TestPreflight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, methods := range map[string]string{
		"/v1/baskets":       "GET, HEAD, POST, OPTIONS",
		"/v1/baskets?x=%zz": "GET, HEAD, POST, OPTIONS",
		basketPath:          "GET, HEAD, DELETE, OPTIONS",
		"/v1/stream":        "GET, OPTIONS",
		"/v1/nothing":       "",
		"/v1/baskets/":      "",
		"/v1/baskets/a/b":   "",
		"*":                 "",
	} {
		for origin, listed := range map[string]bool{"https://shop.example": true, "https://evil.example": false, "http://test": false, "null": false} {
			t.Run(path+" "+origin, func(t *testing.T) {
				t.Parallel()

				got := b.do(t, "OPTIONS", path, "", "Origin", origin, "Access-Control-Request-Method", "POST",
					"Access-Control-Request-Headers", "authorization,content-type,idempotency-key")

				if methods == "" {
					if got.StatusCode != 404 && path != "*" || got.Header.Get("Access-Control-Allow-Methods") != "" {
						t.Errorf("%d %v", got.StatusCode, got.Header)
					}
					return
				}
				if got.StatusCode != 204 || got.body != "" || got.Header.Get("Allow") != methods {
					t.Errorf("%d %q, allowed %q", got.StatusCode, got.body, got.Header.Get("Allow"))
				}
				want := map[string]string{}
				if listed {
					want = map[string]string{
						allowOrigin: origin, "Access-Control-Allow-Methods": methods, "Access-Control-Allow-Headers": corsRequestHeaders,
						"Access-Control-Max-Age": corsMaxAge,
					}
				}
				for name := range got.Header {
					if strings.HasPrefix(name, "Access-Control-") && want[name] == "" {
						t.Errorf("%s: %q", name, got.Header[name])
					}
				}
				for name, value := range want {
					if got.Header.Get(name) != value {
						t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
					}
				}
			})
		}
	}
	if plain := b.do(t, "OPTIONS", "/v1/baskets", "", "Origin", "https://shop.example"); plain.StatusCode != 204 || plain.Header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("without Access-Control-Request-Method: %d %v", plain.StatusCode, plain.Header)
	}
	if access := b.log.String(); !strings.Contains(access, `"method":"OPTIONS","route":"/v1/baskets","status":204`) {
		t.Error("preflights are not in the access log by their route")
	}
}

// Two Origin headers are no origin.
func TestCORSOfTwoOrigins(t *testing.T) {
	t.Parallel()
	addr := listen(t, setup(t).app)

	got := send(t, addr, "GET /v1/empty HTTP/1.1\r\nHost: x\r\nOrigin: https://shop.example\r\nOrigin: https://shop.example\r\n\r\n")

	wantCORS(t, got.Header, "two", false)
}

// What fasthttp refuses by itself, once it has read the head. Of one whose body comes
// too slowly it has forgotten the head when it answers 408.
func TestCORSBeforeHandlers(t *testing.T) {
	t.Parallel()
	addr := listen(t, setup(t).app)
	for origin, reads := range map[string]bool{"https://shop.example": true, "https://evil.example": false} {
		res := send(t, addr, "POST /v1/baskets HTTP/1.1\r\nHost: x\r\nOrigin: "+origin+"\r\nContent-Length: 3000000\r\n\r\n")

		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%d", res.StatusCode)
		}
		wantCORS(t, res.Header, origin, reads)
	}
}

// Without a list nothing depends on the origin.
func TestNoOriginsNoCORS(t *testing.T) {
	t.Parallel()
	app := fiber.New(Config())
	app.Use(CORS(nil), Preflight(app, nil))
	app.Get("/v1/x", func(c *fiber.Ctx) error { return c.SendString("x") })
	b := &bundle{app: app}
	for _, method := range []string{"GET", "OPTIONS"} {
		got := b.do(t, method, "/v1/x", "", "Origin", "https://shop.example", "Access-Control-Request-Method", "GET")
		if got.StatusCode >= 300 || got.Header.Get("Vary") != "" || got.Header.Get(allowOrigin) != "" {
			t.Errorf("%s: %d %v", method, got.StatusCode, got.Header)
		}
	}
}

// A request without a route gets a 404 or 405, with any body.
func TestAddressComesBeforeBody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, row := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/v1/nothing", 404}, {"PUT", "/v1/baskets", 405}, {"POST", basketPath, 405}, {"POST", "/v1/baskets", 415},
	} {
		for _, pairs := range [][]string{{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}} {
			if got := b.do(t, row.method, row.path, "x", append(pairs, "X-Role", "user")...); got.StatusCode != row.status {
				t.Errorf("%s %s: %d %s", row.method, row.path, got.StatusCode, got.body)
			}
		}
	}
}
