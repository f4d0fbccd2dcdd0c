package app

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

var probePaths = []string{"/livez", "/readyz", "/health", "/metrics"}

// SPEC F3, ASVS 5.0 13.4.5: with an internal port, probes and metrics are there and nowhere else, and
// nothing else is there.
func TestInternalPort(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.InternalPort = 1 // any but 0; the test chooses the port itself
	s := serveTest(t, cfg)
	inner := &client{server: &server{t: t, base: s.probes}}

	for _, path := range probePaths {
		if a := s.anonymous().send("GET", path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s on the public port: %s", path, a)
		}
		if a, err := inner.try("GET", path, ""); err != nil || a.status != http.StatusOK || !isSecured(a) {
			t.Errorf("%s on the internal port: %d %v, %v", path, a.status, a.header, err)
		}
	}
	for _, path := range []string{"/", "/v1/products", "/docs", "/openapi.json"} {
		if a, err := inner.try("GET", path, ""); err != nil || a.status != http.StatusNotFound || !isSecured(a) {
			t.Errorf("%s on the internal port: %d %v, %v", path, a.status, a.header, err)
		}
		if a := s.anonymous().send("GET", path, ""); a.status != http.StatusOK {
			t.Errorf("%s on the public port: %s", path, a)
		}
	}
}

// SPEC F3: with a single port everything is there, with the headers of security.
func TestOnePort(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))

	for _, path := range append(probePaths, "/", "/v1/products", "/nothing") {
		if a := s.anonymous().send("GET", path, ""); a.status != http.StatusOK && path != "/nothing" || !isSecured(a) {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
	}
}

// ASVS 5.0 3.4.1, 4.4.2, SPEC R4, F12: with PUBLIC_URL there is one host and one own origin, and browsers
// use https for it. Probes are answered at any host.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	admin := serveTest(t, cfg).admin() // by a node that any host reaches
	cfg.PublicURL = "https://api.example.com"
	s := serveTest(t, cfg)
	for _, row := range []struct {
		host, path string
		status     int
	}{
		{"api.example.com", "/v1/products", 200},
		{"API.example.com:443", "/v1/products", 200},
		{"api.example.com:8443", "/v1/products", 421},
		{"api.example.com.", "/v1/products", 421},
		{"evil.example", "/v1/products", 421},
		{"evil.example", "/", 421},
		{"evil.example", "/nothing", 421},
		{"evil.example", "/livez", 200},
		{"10.0.0.7:3000", "/readyz", 200},
	} {
		got := exchange(t, strings.TrimPrefix(s.base, "http://"), raw{sent: "GET " + row.path + " HTTP/1.1\r\nHost: " + row.host + "\r\nConnection: close\r\n\r\n"})
		if len(got.answers) != 1 || got.answers[0].StatusCode != row.status || got.answers[0].Header.Get("Strict-Transport-Security") != "max-age=31536000; includeSubDomains" {
			t.Errorf("%s at %s: %v %v", row.path, row.host, got.answers, got.bodies)
		}
		if row.status == 421 && !strings.Contains(got.bodies[0], `"code":"wrong-host"`) {
			t.Errorf("%s at %s: %s", row.path, row.host, got.bodies[0])
		}
	}
	for origin, status := range map[string]int{"https://api.example.com": 426, "http://api.example.com": 403, "https://evil.example": 403} {
		got := exchange(t, strings.TrimPrefix(s.base, "http://"), raw{sent: "GET /v1/events/ws HTTP/1.1\r\nHost: api.example.com\r\nOrigin: " + origin + "\r\nAuthorization: Bearer " + admin.token + "\r\nConnection: close\r\n\r\n"})
		if len(got.answers) != 1 || got.answers[0].StatusCode != status {
			t.Errorf("a socket of %s: %v, want %d", origin, got.bodies, status)
		}
	}
}

// SPEC F12, ASVS 5.0 13.4.5: without pages there is the API alone.
func TestWithoutPages(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.Pages = new(config.Switch)
	s := serveTest(t, cfg)

	for _, path := range []string{"/", "/try", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/asyncapi.json", "/schemas/order.created", "/assets/base.css"} {
		if a, err := s.anonymous().try("GET", path, ""); err != nil || a.status != http.StatusNotFound {
			t.Errorf("%s: %v, %v", path, a, err)
		}
	}
	if a, err := s.anonymous().try("GET", "/v1/products", ""); err != nil || a.status != http.StatusOK {
		t.Errorf("the API: %v, %v", a, err)
	}
	if !(&config.Config{Env: config.Development}).ServesPages() || (&config.Config{Env: config.Production}).ServesPages() {
		t.Error("pages are on in development and off in production")
	}
}

// isSecured reports whether a response has the headers of ASVS 5.0 3.4.
func isSecured(a answer) bool {
	return a.header.Get("X-Content-Type-Options") == "nosniff" && a.header.Get("X-Frame-Options") == "DENY" &&
		a.header.Get("Referrer-Policy") == "no-referrer" && strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
}

// A node without the role api has nothing to serve on the public port, once probes have their own.
func TestListeners(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name               string
		roles              []string
		internal           bool
		public, internally bool
	}{
		{"development", []string{"api", "worker"}, false, true, false},
		{"a worker in development", []string{"worker"}, false, true, false},
		{"production", []string{"api"}, true, true, true},
		{"a worker in production", []string{"worker"}, true, false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Config{Host: "127.0.0.1", InternalHost: "127.0.0.1", Roles: row.roles}
			if row.internal {
				cfg.InternalPort = testport.For(t).Number
			}

			on, err := listen(&cfg)

			if err != nil {
				t.Fatal(err)
			}
			defer on.close()
			if (on.public != nil) != row.public || (on.internal != nil) != row.internally {
				t.Errorf("it listens on %v", on)
			}
		})
	}
}

// The error of a port that is taken names the variable.
func TestListenersNameTheVariable(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	_, err = listen(&config.Config{Host: "127.0.0.1", InternalHost: "127.0.0.1", InternalPort: taken.Addr().(*net.TCPAddr).Port, Roles: []string{"api"}})

	if err == nil || !strings.HasPrefix(err.Error(), "INTERNAL_PORT:") {
		t.Errorf("it says %v", err)
	}
}

// The health check of a container asks where the probes are.
func TestProbeAddress(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]config.Config{
		"127.0.0.1:3000": {Host: "0.0.0.0", Port: 3000},
		"127.0.0.2:3000": {Host: "127.0.0.2", Port: 3000},
		"[::1]:3000":     {Host: "::", Port: 3000},
		"127.0.0.1:9090": {Host: "10.0.0.7", Port: 3000, InternalHost: "127.0.0.1", InternalPort: 9090},
		"10.0.0.7:9090":  {Host: "0.0.0.0", Port: 3000, InternalHost: "10.0.0.7", InternalPort: 9090},
	} {
		if got := probeAddress(&cfg); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// ASVS 5.0 15.2.2: however often it is asked, the work is done once a second.
func TestCachedComputesOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c cached[int]
		computed := 0
		get := func() int { return c.get(func() int { computed++; return computed }) }

		first := []int{get(), get(), get()}
		time.Sleep(cacheTime - time.Nanosecond) //nolint:forbidigo // the clock of synctest
		before := get()
		time.Sleep(time.Nanosecond) //nolint:forbidigo // likewise
		after := get()

		if first[2] != 1 || before != 1 || after != 2 {
			t.Errorf("%v, then %d, then %d", first, before, after)
		}
	})
}

// SPEC F4, F10: on a port that clients reach, nothing that costs anything is free of the limit: not
// the probes but those for a balancer, nor a path that looks like a file of the documentation.
func TestNothingIsFree_F4(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.RateLimit = config.Limit{Count: 5, Period: time.Hour}
	s := serveTest(t, cfg)
	for range 5 {
		s.anonymous().send("GET", "/v1/products", "")
	}

	for path, want := range map[string]int{
		"/health": 429, "/metrics": 429, "/docs/made-up": 429, "/docs/swagger-ui.css/": 429, "/openapi.json": 429,
		"/livez": 200, "/readyz": 200, "/docs/swagger-ui.css": 200, "/docs/swagger-ui-bundle.js": 200,
	} {
		if a := s.anonymous().send("GET", path, ""); a.status != want {
			t.Errorf("%s: %d, want %d", path, a.status, want)
		}
	}
}
