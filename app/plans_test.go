package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgproxy"
)

// examined is the number of rows that one statement may read from tables and indexes, whatever it
// returns: a page of 100 rows with what belongs to them. Statements with a window have their own limit.
const examined = 1000

// windows are the statements that may examine more, by a part of their text, with their limit.
var windows = map[string]int{
	"with newest as materialized": heavy + later + 4_000, // 2,000 orders and their terms; a table of this size may be read as a whole
	"(o.status, o.id)":            2 * (heavy + later),   // without statistics, the orders of an administrator's statuses are sorted
	`"users"`:                     17_000,                // without statistics, all accounts are sorted
	"from products where sku >":   12_000,                // a search of products reads them in pages of 5,000
	`"webhook_deliveries"`:        12_000,                // a filter without an index examines 5,000 deliveries, by an index
	`"products"`:                  18_000,                // without statistics the active products are sorted
	"update sessions":             20_000,                // once in a while; open sessions have no index by their ends
	"o.status || ''":              2 * (heavy + later),   // there is no index of a customer's orders by status
}

// planned is a statement as the server executed it.
type planned struct {
	Text string `json:"Query Text"`
	Plan plan
}

// plan is a node of a plan in EXPLAIN's JSON format.
type plan struct {
	Type    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Index   string  `json:"Index Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Recheck float64 `json:"Rows Removed by Index Recheck"`
	Plans   []plan
}

// reads returns the rows that the scans of a plan have examined.
func (p plan) reads() (rows int) {
	if strings.HasSuffix(p.Type, "Scan") && (p.Table != "" || p.Index != "") {
		rows = int((p.Rows + p.Removed + p.Recheck) * p.Loops)
	}
	for _, child := range p.Plans {
		rows += child.reads()
	}
	return rows
}

// outline names the scans of a plan, for a failure.
func (p plan) outline() string {
	var parts []string
	if strings.HasSuffix(p.Type, "Scan") {
		parts = append(parts, fmt.Sprintf("%s %s %s: %v+%v rows, %v times", p.Type, p.Table, p.Index, p.Rows, p.Removed+p.Recheck, p.Loops))
	}
	for _, child := range p.Plans {
		if o := child.outline(); o != "" {
			parts = append(parts, o)
		}
	}
	return strings.Join(parts, "; ")
}

// planBook collects the plans of a node's statements from the notices of auto_explain.
type planBook struct {
	mu   sync.Mutex
	list []planned
}

func (b *planBook) hear(message string) {
	_, text, found := strings.Cut(message, "plan:\n")
	var p planned
	if !found || json.Unmarshal([]byte(text), &p) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, p)
}

// take returns the plans since the last call.
func (b *planBook) take() []planned {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	return list
}

// G2, E30, E31: no statement of a request reads more rows than its answer needs, whether the planner knows
// nothing about the tables, only an early small state, or all of it, with generic and with custom plans.
// The heavy user has the greatest id and most of the newest rows, which no histogram of an early state
// has seen.
func TestPlansOfEveryRequest_E30(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	database := cfg.DatabaseURL.Reveal()
	conn := connect(t, database)
	w := newWarehouse(t, cfg, conn)
	book := &planBook{}
	p := pgproxy.Start(t, database, book.hear)
	watched.Store(p.URL, watchOf(database))
	cfg.DatabaseURL, cfg.Roles = config.Secret(p.URL), []string{"api"}
	explainAll(t, conn)

	for _, known := range []string{"stale", "fresh", "none"} {
		w.learn(known)
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			alter(t, conn, "set plan_cache_mode = "+mode)
			w.ask(serveTest(t, cfg), book, known+" statistics, "+mode)
		}
	}
}

// alter changes a setting of the test's database, for new connections.
func alter(t *testing.T, conn *pgx.Conn, setting string) {
	t.Helper()
	execute(t, conn, "alter database "+pgx.Identifier{conn.Config().Database}.Sanitize()+" "+setting)
}

// explainAll has the server send the plan of every statement to its client.
func explainAll(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for _, setting := range []string{
		"session_preload_libraries = auto_explain", "auto_explain.log_min_duration = 0", "auto_explain.log_analyze = on", "auto_explain.log_timing = off",
		"auto_explain.log_format = json", "auto_explain.log_level = notice", "client_min_messages = notice",
	} {
		alter(t, conn, "set "+setting)
	}
}

// ask sends every request and checks its statements.
func (w *warehouse) ask(s *server, book *planBook, state string) {
	w.t.Helper()
	defer s.stop()
	user, root := w.user.on(s), w.root.on(s)
	book.take()
	w.user, w.root = user, root
	for _, r := range w.requests() {
		by := user
		if r.admin {
			by = root
		}
		a, err := by.try(r.method, r.path, r.body, r.headers...)
		if err != nil || a.status >= http.StatusBadRequest {
			w.t.Errorf("%s: %s %s is %s, %v", state, r.method, r.path, a, err)
		}
		for _, p := range book.take() {
			if n := p.Plan.reads(); n > limitOf(p.Text) {
				w.t.Errorf("%s: %s %s examines %d rows with %s:\n%s", state, r.method, r.path, n, compact(p.Text), p.Plan.outline())
			}
		}
	}
}

func limitOf(text string) int {
	most := examined
	for part, limit := range windows {
		if strings.Contains(text, part) {
			most = max(most, limit)
		}
	}
	return most
}

var space = regexp.MustCompile(`\s+`)

func compact(sql string) string {
	sql = space.ReplaceAllString(sql, " ")
	return sql[:min(len(sql), 400)]
}
