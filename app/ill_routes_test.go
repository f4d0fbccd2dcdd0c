package app

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgproxy"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// faults are those of a database that may recover by itself, one or more of each class (PostgreSQL
// documentation, appendix A).
var faults = []pgproxy.Fault{
	{Code: "25006"}, {Code: "53000"}, {Code: "53100"}, {Code: "53200"}, {Code: "53400"}, {Code: "55000"}, {Code: "55006"}, {Code: "58000"}, {Code: "58030"},
	{Code: "58P01"}, {Code: "XX000"}, {Code: "XX001"}, {Code: "XX002"}, {Code: "08P01"}, {Code: "57000"},
	{Code: "53300", Fatal: true}, {Code: "08006", Fatal: true}, {Code: "57P01", Fatal: true}, {Code: "57P02", Fatal: true}, {Code: "57P03", Fatal: true}, {Code: "57P05", Fatal: true},
}

// proxied returns the settings of a node whose database a test can make fail, and the database's own
// address.
func proxied(t *testing.T) (cfg config.Config, p *pgproxy.Proxy, database string) {
	t.Helper()
	cfg = settings(t)
	database = cfg.DatabaseURL.Reveal()
	p = pgproxy.Start(t, database, nil)
	watched.Store(p.URL, watchOf(database))
	cfg.DatabaseURL = config.Secret(p.URL)
	return cfg, p, database
}

// fromMemory are the routes that may answer without the database. A stream begins where the node's
// copy of the log ends; with a cursor it ends with 1011, or as an event stream, and the client resumes.
var fromMemory = []string{"event-socket", "event-stream"}

// F4, F19, F20: whatever fails in the database, every route answers 503 with Retry-After and the code
// "unavailable", and nothing is stored: afterwards the same request succeeds. What failed counts
// against no limit (F20).
func TestIllDatabaseAtEveryRoute_F19(t *testing.T) {
	t.Parallel()
	const parts = 3
	routes := described().Routes()
	for part := range parts {
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			t.Parallel()
			cfg, p, database := proxied(t)
			cfg.Roles = []string{"api"}
			worker := cfg // its database is well, so that orders get the status that a request needs
			worker.Roles, worker.DatabaseURL = []string{"worker"}, config.Secret(database)
			m := newMatrixOn(t, cfg, database)
			serveTest(t, worker, WithStep(orders.Step{Name: heldStep, Check: holdIfAsked}))
			for i := part; i < len(routes); i += parts {
				m.ill(p, routes[i], i)
			}
		})
	}
}

// ill sends a request during some of the faults, other ones for each route, and once more after them.
func (m *matrix) ill(p *pgproxy.Proxy, r web.Route, n int) {
	m.t.Helper()
	who := &asker{name: "admin", who: m.root, good: true}
	targets := m.targets(r)
	target := targets[min(1, len(targets)-1)] // another account's rather than the administrator's own
	if target != "other account's" {
		target = targets[0]
	}
	q := m.question(r, target, who)
	key := []string{}
	if m.doc.accepts(r, "Idempotency-Key") {
		key = []string{"Idempotency-Key: ill-" + strconv.Itoa(n)}
	}
	memory := slices.Contains(fromMemory, r.Name)
	for i := n % 4; i < len(faults); i += 4 {
		p.Fail(faults[i])
		a, err := m.try(who, q, key...)
		p.Heal()
		switch {
		case err != nil:
			m.t.Errorf("%s: %s %s: %v", faults[i].Code, r.Method, r.Path, err)
		case memory && (a.status == http.StatusOK || a.status == http.StatusSwitchingProtocols):
		case a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.text("code") != "unavailable":
			m.t.Errorf("%s: %s %s is %s, Retry-After %q", faults[i].Code, r.Method, q.path, a, a.header.Get("Retry-After"))
		}
	}
	m.drained()
	a, err := m.try(who, q, key...)
	if err != nil || a.status >= 500 || a.header.Get("Idempotency-Replayed") != "" {
		m.t.Errorf("after the faults: %s %s is %s, %v", r.Method, q.path, a, err)
	}
	m.spent(r, target, who)
	if r.Path == "/v1/auth/logout" || strings.HasPrefix(r.Path, "/v1/auth/password") || strings.HasPrefix(r.Path, "/v1/auth/sessions") {
		m.root.logIn(m.s)
	}
}

// drained waits until no connection in the pool is one that a fault has ended: each of them is found
// by the request that uses it.
func (m *matrix) drained() {
	m.t.Helper()
	testwait.Until(m.t, "the connections to be new", func() bool {
		good := true
		for range 13 {
			a, err := m.root.try("GET", "/v1/orders?limit=1", "")
			good = good && err == nil && a.status == http.StatusOK
		}
		return good
	})
}

// accepts reports whether a route has a header among its parameters.
func (d *description) accepts(r web.Route, header string) bool {
	return slices.ContainsFunc(d.operation(r).Parameters, func(p parameter) bool { return p.In == "header" && strings.EqualFold(p.Name, header) })
}

// D4, F19: jobs that meet a fault of the database are repeated without a dead letter, however often it
// fails, and the node is not ready while nothing succeeds.
func TestIllDatabaseUnderJobs_F19(t *testing.T) {
	t.Parallel()
	cfg, p, database := proxied(t)
	s := serveTest(t, cfg)
	root := s.admin()
	root.product("KETTLE", 1_000_000)
	conn := connect(t, database)

	var placed []string
	for i := 0; i < len(faults); i += 3 { // of each class
		f := faults[i]
		placed = append(placed, root.order("KETTLE", 1), root.order("KETTLE", 2))
		p.Fail(f)
		testwait.Until(t, "statements to fail with "+f.Code, func() bool { return p.Refused() >= 10 })
		p.Heal()
		testwait.Until(t, "the node to be ready after "+f.Code, func() bool { return readiness(s) == "200 ok\n" })
	}

	for _, id := range placed {
		root.becomes(id, "PROCESSING")
	}
	var letters int
	if err := conn.QueryRow(t.Context(), "select count(*) from dead_letters").Scan(&letters); err != nil || letters != 0 {
		t.Errorf("%d dead letters, %v", letters, err)
	}
}

// F3, F19: while every statement fails, the node is not ready, and it is ready again by itself.
func TestIllDatabaseIsNotReady_F19(t *testing.T) {
	t.Parallel()
	cfg, p, _ := proxied(t)
	s := serveTest(t, cfg)
	for _, f := range []pgproxy.Fault{{Code: "XX000"}, {Code: "57P03", Fatal: true}} {
		p.Fail(f)
		testwait.Until(t, "the node to be not ready with "+f.Code, func() bool { return strings.HasPrefix(readiness(s), "503 ") })
		health, err := s.anonymous().try("GET", "/health", "")
		if err != nil || health.status != http.StatusServiceUnavailable {
			t.Errorf("%s: health is %v, %v", f.Code, health, err)
		}
		p.Heal()
		testwait.Until(t, "the node to be ready after "+f.Code, func() bool { return readiness(s) == "200 ok\n" })
	}
}
