package app

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
)

const shopOrigin = "https://shop.example.com"

// E2: OPTIONS of every path of the document names the methods that it has, and a
// preflight allows every header that a client may send and lets pages read every
// header that is documented.
func TestPreflightOfEveryRoute(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.Origins = []string{shopOrigin}
	s := serveTest(t, cfg)
	anonymous := s.anonymous()
	document := anonymous.want(200, "GET", "/openapi.json", "", "Origin: "+shopOrigin)
	exposed := listOf(document.header, "Access-Control-Expose-Headers")
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	paths := append(documentedPaths(document), "/", "/docs", "/docs/swagger-ui.css", "/try", "/openapi.json", "/schemas/order.created", "/health", "/readyz", "/metrics")
	for _, path := range paths {
		address := parameter.ReplaceAllString(path, "01900000-0000-7000-8000-000000000000")
		refused, err := anonymous.try("BREW", address, "")
		if err != nil || refused.status != http.StatusMethodNotAllowed {
			t.Fatalf("BREW %s: %v, %v", address, refused, err)
		}

		got, err := anonymous.try("OPTIONS", address, "", "Origin: "+shopOrigin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
		if err != nil {
			t.Fatal(err)
		}

		want := append(listOf(refused.header, "Allow"), "OPTIONS")
		if got.status != http.StatusNoContent || !slices.Equal(listOf(got.header, "Access-Control-Allow-Methods"), want) || got.header.Get("Access-Control-Allow-Origin") != shopOrigin {
			t.Errorf("OPTIONS %s: %d %v, want methods %v", address, got.status, got.header, want)
		}
		allowed := listOf(got.header, "Access-Control-Allow-Headers")
		for _, op := range operationsOf(document, path) {
			for _, p := range op.Parameters {
				if p.In == "header" && !containsFold(allowed, p.Name) {
					t.Errorf("%s: pages may not send %s", path, p.Name)
				}
			}
			for status, response := range op.Responses {
				for name := range response.Headers {
					if !containsFold(exposed, name) {
						t.Errorf("%s %s: pages cannot read %s", path, status, name)
					}
				}
			}
		}
	}
}

type corsOperation struct {
	Parameters []struct{ In, Name string }
	Responses  map[string]struct{ Headers map[string]any }
}

func documentedPaths(document answer) (paths []string) {
	for path := range document.body["paths"].(map[string]any) { //nolint:forcetypeassert // a test
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func operationsOf(document answer, path string) map[string]corsOperation {
	var d struct {
		Paths map[string]map[string]corsOperation
	}
	if err := json.Unmarshal(document.raw, &d); err != nil {
		panic(err)
	}
	return d.Paths[path]
}

func listOf(h http.Header, name string) (list []string) {
	for part := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		list = append(list, strings.TrimSpace(part))
	}
	return list
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(in string) bool { return strings.EqualFold(in, s) })
}

// E2: no number of preflights uses up what the address may do, and what the limiter
// refuses can be read, with its Retry-After, by a page.
func TestCORSAndTheLimiter(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.Origins, cfg.RateLimit = []string{shopOrigin}, config.Limit{Count: 5, Period: time.Hour}
	anonymous := serveTest(t, cfg).anonymous()
	for range 20 {
		if a, err := anonymous.try("OPTIONS", "/v1/products", "", "Origin: "+shopOrigin, "Access-Control-Request-Method: GET"); err != nil || a.status != http.StatusNoContent {
			t.Fatalf("a preflight: %v, %v", a, err)
		}
	}
	var got answer
	for n := range 6 {
		var err error
		if got, err = anonymous.try("GET", "/v1/products", "", "Origin: "+shopOrigin); err != nil || n < 5 && got.status != http.StatusOK {
			t.Fatalf("request %d: %v, %v", n, got, err)
		}
	}
	if got.status != http.StatusTooManyRequests || got.header.Get("Access-Control-Allow-Origin") != shopOrigin || got.header.Get("Retry-After") == "" || got.text("code") != "rate-limited" {
		t.Errorf("%v %v", got, got.header)
	}
	if a, err := anonymous.try("OPTIONS", "/v1/nowhere", "", "Origin: "+shopOrigin, "Access-Control-Request-Method: GET"); err != nil || a.status != http.StatusTooManyRequests {
		t.Errorf("OPTIONS of an unknown path is not counted: %v, %v", a, err)
	}
}

// D3: nothing between may hold a stream back.
func TestStreamsAreNotBuffered(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.user("ann").token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("X-Accel-Buffering") != "no" || res.Header.Get("Cache-Control") != "no-store, no-transform" {
		t.Errorf("%v", res.Header)
	}
}
