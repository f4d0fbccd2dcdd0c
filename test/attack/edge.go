package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// edgeAttacks are those on what every client reaches: headers, hosts, pages, probes and traces.
func edgeAttacks() []attack {
	return []attack{
		{name: "missing-headers", refs: "CWE-693; ASVS 3.4.4, 3.4.6", does: "Looks for responses without security headers: routes, errors, probes and refused messages.", do: missingHeaders},
		{name: "public-pages", refs: "CWE-200; ASVS 13.4.5, 15.2.3", does: "Reads pages, descriptions and the version without credentials.", do: publicPages},
		{name: "public-probes", refs: "CWE-200; ASVS 13.4.5", does: "Reads probes and metrics on the port of clients.", do: publicProbes},
		{name: "unlimited-routes", refs: "CWE-770; ASVS 13.4.5, 15.2.2", need: writes, does: "Sends 600 requests at once from one address to each route that might have no rate limit.", do: unlimitedRoutes},
		{name: "foreign-host", refs: "CWE-350; ASVS 4.1.3, 3.4.1", need: private, does: "Asks for another host than that of PUBLIC_URL, and opens a socket by DNS rebinding.", do: foreignHost},
		{name: "foreign-origin", refs: "CWE-942; ASVS 3.4.2, 4.4.2", does: "Sends preflights and requests as a page of another site.", do: foreignOrigin},
		{name: "foreign-origin-socket", refs: "CWE-1385; ASVS 4.4.2", need: writes, does: "Opens sockets from similar and foreign origins.", do: foreignSocket},
		{name: "forged-trace", refs: "CWE-345; ASVS 4.1.3, 16.4.1", need: private, does: "Sends a sampled traceparent with 7 KB of tracestate and baggage, and looks for them in jobs.", do: forgedTrace},
		{name: "forged-request-id", refs: "CWE-345, CWE-117; ASVS 16.4.1", need: private, does: "Chooses the request id under which the server logs a request.", do: forgedRequestID},
		{name: "forged-forwarded-for", refs: "CWE-348; ASVS 4.1.3", need: writes, slow: true, does: "Evades the limit of an address with X-Forwarded-For and its relatives.", do: forgedForwardedFor},
		{name: "inactive-products", refs: "API3; ASVS 8.2.3, 15.3.1", need: writes, does: "Reads products that are not for sale yet without credentials: by list, by sku and by quote.", do: inactiveProducts},
		{name: "embedded-scripts", refs: "CWE-1395, CVE-2025-15599; ASVS 15.2.1", need: private, does: "Looks for a version of DOMPurify with known faults in the pages of documentation.", do: embeddedScripts},
	}
}

var securityHeaders = []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy"}

func missingHeaders(x *trial) {
	n := x.server()
	c := x.caller(n)
	requests := 0
	check := func(what string, h http.Header) {
		requests++
		if h == nil {
			x.fatal("%s is not answered", what)
		}
		for _, name := range securityHeaders {
			if h.Get(name) == "" {
				x.found("%s has no %s", what, name)
				return
			}
		}
	}
	for _, path := range []string{"/", "/nowhere", "/v1/products", "/v1/orders", "/v1/auth/login", "/docs", "/openapi.json"} {
		check(path, c.send(x, "GET", path, nil).header)
	}
	probes := x.caller(n)
	probes.at = n.internal
	for _, path := range []string{"/livez", "/readyz", "/health", "/metrics"} {
		if a := probes.send(x, "GET", path, nil); a.status != http.StatusNotFound {
			check(path, a.header)
		}
	}
	for name, text := range map[string]string{"a message that cannot be parsed": "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", "a huge header": "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("b", 64<<10) + "\r\n\r\n"} {
		if a := x.exchange(c, text); a.status != 0 {
			check(name, a.header)
		}
	}
	x.figure("%d responses", requests)
}

func publicPages(x *trial) {
	c := x.caller(x.server())
	for _, path := range []string{"/try", "/docs", "/docs/", "/openapi.json", "/openapi.yaml", "/openapi-3.0.json", "/asyncapi.json", "/schemas", "/schemas/Order.json", "/debug/pprof/", "/debug/vars", "/swagger", "/.env", "/.git/HEAD"} {
		if a := c.send(x, "GET", path, nil); a.status != http.StatusNotFound && a.status != http.StatusUnauthorized {
			x.found("%s is %d", path, a.status)
		}
	}
	a := c.send(x, "GET", "/", nil)
	if regexp.MustCompile(`\d+\.\d+\.\d+|[0-9a-f]{12}`).Match(a.raw) && a.status == http.StatusOK {
		x.found("/ shows a version")
	}
}

func publicProbes(x *trial) {
	n := x.server()
	c := x.caller(n)
	for _, path := range []string{"/livez", "/readyz", "/health", "/metrics", "//metrics", "/metrics/", "/METRICS"} {
		if a := c.send(x, "GET", path, nil); a.status == http.StatusOK || a.status == http.StatusServiceUnavailable {
			x.found("%s is %d", path, a.status)
		}
	}
}

// unlimitedRoutes is about cheap requests: a route without a limit answers all of them.
func unlimitedRoutes(x *trial) {
	n := x.server()
	const many = 600 // three times what RATE_LIMIT lets through in a second
	for _, path := range []string{"/docs/swagger-ui.css", "/docs/nothing", "/docs/../v1/products", "/health", "/metrics", "/try/x", "/schemas/x", "/v1/products", "/nowhere", "/v1/events/ws"} {
		c := x.caller(n)
		if a := c.send(x, "GET", path, nil); a.status == http.StatusNotFound && (path == "/health" || path == "/metrics") {
			continue // not on this port
		}
		began := time.Now()
		limited, status := x.flood(c, many, "GET", path, nil)
		if took := time.Since(began); limited == 0 && took < many/200*time.Second {
			x.found("%s: %d requests of one address in %s, none refused (%d)", path, many, short(took), status)
		}
	}
	x.figure("%d requests of each route", many)
}

// flood sends requests 16 at a time, and returns how many were refused by the limit, and the last
// other status.
func (x *trial) flood(c *caller, many int, method, path string, body any, headers ...string) (limited, status int) {
	var mu sync.Mutex
	var some errgroup.Group
	some.SetLimit(16)
	for range many {
		some.Go(func() error {
			a := c.send(x, method, path, body, headers...)
			mu.Lock()
			defer mu.Unlock()
			if a.status == http.StatusTooManyRequests {
				limited++
			} else if a.status != 0 {
				status = a.status
			}
			return nil
		})
	}
	_ = some.Wait() // the requests return no errors
	return limited, status
}

func foreignHost(x *trial) {
	n := x.fresh("PUBLIC_URL=https://orders.attack.example")
	c := x.caller(n)
	if a := c.send(x, "GET", "/v1/products", nil, "Host: orders.attack.example"); a.status != http.StatusOK {
		x.fatal("the own host is %s", a)
	} else if a.header.Get("Strict-Transport-Security") == "" {
		x.found("no Strict-Transport-Security with an https PUBLIC_URL")
	}
	for _, host := range []string{"evil.example", "orders.attack.example.evil.example", "127.0.0.1", "orders.attack.example:8443", "orders.attack.example@evil.example"} {
		if a := c.send(x, "GET", "/v1/products", nil, "Host: "+host); a.status == http.StatusOK {
			x.found("Host %s is served", host)
		}
	}
	for _, text := range []string{
		"GET http://evil.example/v1/products HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"GET /v1/products HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: orders.attack.example\r\n\r\n",
		"GET /v1/products HTTP/1.1\r\nHost: orders.attack.example\r\nHost: evil.example\r\n\r\n",
	} {
		if x.exchange(c, text).status == http.StatusOK {
			x.found("%q is served", text)
		}
	}
	conn, status, err := c.socket(x, "", "Host: evil.example", "Origin: http://evil.example")
	if err == nil {
		_ = conn.Close()
	}
	if status != http.StatusForbidden && status != http.StatusMisdirectedRequest {
		x.found("a socket whose origin is its host is not refused for it (%d)", status)
	}
}

func foreignOrigin(x *trial) {
	c := x.caller(x.server())
	for _, origin := range []string{"https://evil.example", "null", "http://" + c.host + ".evil.example", "file://"} {
		for _, method := range []string{"OPTIONS", "GET", "POST"} {
			a := c.send(x, method, "/v1/orders", nil, "Origin: "+origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-Allow") {
					x.found("%s from %s is answered with %s", method, origin, name)
				}
			}
		}
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		if a := c.send(x, "POST", "/v1/auth/login", `{"email":"a@attack.example","password":"x"}`, "Content-Type: "+kind); a.status != http.StatusUnsupportedMediaType && a.status != http.StatusTooManyRequests {
			x.found("a form of the type %s is read (%d)", kind, a.status)
		}
	}
}

func foreignSocket(x *trial) {
	n := x.server()
	c := x.user(n)
	for _, origin := range []string{"https://evil.example", "null", "http://" + strings.ToUpper("LocalHost") + ":1", "http://" + n.host + ".evil.example", "http://user@" + n.host, "file://"} {
		conn, status, err := c.socket(x, "", "Origin: "+origin)
		if err == nil {
			_ = conn.Close()
			x.found("a socket of %s is opened", origin)
		} else if status != http.StatusForbidden {
			x.found("a socket of %s is refused with %d", origin, status)
		}
	}
}

func forgedTrace(x *trial) {
	n := x.server()
	c, sku := x.user(n), x.product(n, -1)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	state := "canary=" + strings.Repeat("s", 250) + "," + repeated(7000, func(i int) string { return fmt.Sprintf("v%d=%s", i, strings.Repeat("s", 250)) })
	for _, flag := range []string{"01", "00"} {
		id := x.want(http.StatusCreated, c, "POST", "/v1/orders", orderOf(sku),
			"traceparent: 00-"+trace+"-00f067aa0ba902b7-"+flag, "tracestate: "+state, "baggage: canary=secretbaggage").text("id")
		var stated, parented int
		err := n.db.QueryRow(x, `select count(*) filter (where metadata::text like '%canary%'), count(*) filter (where metadata::text like '%'||$2||'%')
			from river_job where args::text like '%'||$1||'%'`, id, trace).Scan(&stated, &parented)
		x.must(err, "read the jobs")
		if stated > 0 {
			x.found("tracestate or baggage is in %d jobs (flag %s)", stated, flag)
		}
		if parented > 0 && flag == "01" {
			x.figure("%d jobs are in the caller's trace", parented)
		}
	}
	if strings.Contains(n.output.String(), `"trace_id":"`+trace+`"`) {
		x.found("the log's trace_id is the caller's")
	}
}

func forgedRequestID(x *trial) {
	n := x.server()
	c := x.caller(n)
	victim := c.send(x, "GET", "/v1/products", nil).header.Get("X-Request-Id")
	if victim == "" {
		x.fatal("responses have no X-Request-Id")
	}
	if a := c.send(x, "GET", "/v1/orders", nil, "X-Request-Id: "+victim); a.text("requestId") == victim {
		x.within(2*time.Second, func() bool { return strings.Count(n.output.String(), victim) > 1 })
		if strings.Contains(n.output.String(), `"request_id":"`+victim+`"`) {
			x.found("two requests are logged under one request_id that the caller chose")
		}
	}
	for _, id := range []string{"a b", "a\tb", strings.Repeat("x", 5000), "\u00e9"} {
		if a := c.send(x, "GET", "/v1/orders", nil, "X-Request-Id: "+id); a.header.Get("X-Request-Id") == id {
			x.found("the id %.20q is taken over", id)
		}
	}
}

func forgedForwardedFor(x *trial) {
	n := x.server()
	for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP"} {
		c := x.caller(n)
		began := time.Now()
		compared := x.checked(20, func(i int) int {
			value := fmt.Sprintf("203.0.113.%d", i)
			if name == "Forwarded" {
				value = "for=" + value
			}
			return c.send(x, "POST", "/v1/auth/login", fields{"email": fmt.Sprintf("nobody%d@attack.example", i), "password": "wrong password"}, name+": "+value).status
		})
		if compared > permitted(began) {
			x.found("%d of 20 wrong log-ins of one address with %s are compared", compared, name)
		}
	}
}

func inactiveProducts(x *trial) {
	n := x.server()
	root := x.root(n)
	sku := x.product(n, 17)
	x.want(http.StatusOK, root, "PATCH", "/v1/products/"+sku, fields{"active": false})
	for _, c := range []*caller{x.caller(n), x.user(n)} {
		for _, path := range []string{"/v1/products?limit=100", "/v1/products?active=false&limit=100", "/v1/products/" + sku, "/v1/products?q=" + sku} {
			if a := c.send(x, "GET", path, nil); strings.Contains(string(a.raw), `"sku":"`+sku+`"`) {
				x.found("%s shows it", strings.ReplaceAll(path, sku, "{sku}"))
			}
		}
		if c.token == "" {
			continue
		}
		if a := c.send(x, "POST", "/v1/orders/quote", orderOf(sku)); a.status == http.StatusOK {
			x.found("a quote prices it")
		}
	}
}

func embeddedScripts(x *trial) {
	n := x.fresh("PAGES=on")
	c := x.caller(n)
	page := c.send(x, "GET", "/docs", nil)
	if page.status/100 == 3 {
		page = c.send(x, "GET", page.header.Get("Location"), nil)
	}
	if page.status != http.StatusOK {
		x.skip("there is no page of documentation (%d)", page.status)
	}
	purify := regexp.MustCompile(`(?:version="(3\.\d+\.\d+)"[^;]{0,40}removed=\[\])|DOMPurify (\d+\.\d+\.\d+)`)
	seen := 0
	for _, m := range regexp.MustCompile(`src="([^"]+\.js[^"]*)"`).FindAllSubmatch(page.raw, -1) {
		path := string(m[1])
		if !strings.HasPrefix(path, "/") {
			path = "/docs/" + strings.TrimPrefix(path, "./")
		}
		seen++
		for _, v := range purify.FindAllSubmatch(c.send(x, "GET", path, nil).raw, -1) {
			version := string(v[1]) + string(v[2])
			x.figure("DOMPurify %s", version)
			if older(version, "3.2.7") {
				x.found("DOMPurify %s has CVE-2025-15599", version)
			}
		}
	}
	x.figure("%d scripts", seen)
}

// older compares versions of three numbers.
func older(a, b string) bool {
	var x, y [3]int
	_, _ = fmt.Sscanf(a, "%d.%d.%d", &x[0], &x[1], &x[2])
	_, _ = fmt.Sscanf(b, "%d.%d.%d", &y[0], &y[1], &y[2])
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}
