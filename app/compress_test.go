package app

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// SPEC E21: lists, exports, documents and pages are compressed; streams, small responses, and
// responses with a secret are not. With COMPRESSION=off nothing is.
func TestCompression_E21(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.Compression = true
	s := serveTest(t, cfg)
	cfg.Compression = false
	off := serveTest(t, cfg)
	admin := s.admin()
	for _, sku := range []string{"KETTLE", "SCALE", "GRINDER", "FILTERS", "BEANS", "MACHINE", "VOUCHER"} {
		admin.product(sku, 1000)
	}
	ann := s.user("ann")
	for range 3 {
		ann.order("KETTLE", 1)
	}

	for _, row := range []struct {
		method, path, body string
		compressed         bool
	}{
		{"GET", "/v1/products", "", true},
		{"GET", "/v1/orders", "", true},
		{"GET", "/v1/events", "", true},
		{"GET", "/v1/orders/export?format=csv", "", true},
		{"GET", "/v1/orders/export?format=ndjson", "", true},
		{"GET", "/openapi.json", "", true},
		{"GET", "/asyncapi.json", "", true},
		{"GET", "/schemas/order.created", "", true},
		{"GET", "/try", "", true},
		{"GET", "/docs/swagger-ui.css", "", true},
		{"GET", "/v1/users/me", "", false},
		{"GET", "/v1/events/stream", "", false},
		{"POST", "/v1/auth/login", `{"email":"` + ann.email + `","password":"` + userPassword + `"}`, false},
		{"POST", "/v1/events/tickets", "", false},
	} {
		for _, server := range []struct {
			base       string
			compresses bool
		}{{s.base, row.compressed}, {off.base, strings.HasPrefix(row.path, "/docs/")}} {
			res := acceptingGzip(t, ann.token, row.method, server.base+row.path, row.body)

			coding := res.Header.Get("Content-Encoding")
			if res.StatusCode >= 300 || (coding == "gzip") != server.compresses || coding != "" && coding != "gzip" {
				t.Errorf("%s %s: %d in the coding %q", row.method, row.path, res.StatusCode, coding)
			} else if coding == "gzip" {
				unpack(t, row.path, res.Body)
			}
			_ = res.Body.Close()
		}
	}
}

// acceptingGzip repeats a request that meets the end of an earlier export.
func acceptingGzip(t *testing.T, token, method, url, body string) (res *http.Response) {
	t.Helper()
	testwait.Until(t, "the response to "+url, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept-Encoding", "gzip")
		if res, err = http.DefaultTransport.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusTooManyRequests {
			return true
		}
		_ = res.Body.Close()
		return false
	})
	return res
}

func unpack(t *testing.T, path string, body io.Reader) {
	t.Helper()
	r, err := gzip.NewReader(body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if plain, err := io.ReadAll(r); err != nil || len(plain) < 100 {
		t.Errorf("%s: %d bytes, %v", path, len(plain), err)
	}
}
