package app

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// exported is a metric as the source declares it.
type exported struct {
	name, help string
	labels     []string
}

var (
	declared  = regexp.MustCompile(`"((?:orderflow|http)_[a-z_]+)",?\s*(?:Help:\s*)?"((?:[^"\\]|\\.)+)"`)
	labelList = regexp.MustCompile(`^[^"]*?(?:Buckets:[^"]*?)?\[\]string\{("[a-z", ]+)\}|^((?:, "[a-z]+")+)\)`)
)

// exportedMetrics finds the metrics in the sources of the product.
func exportedMetrics(t *testing.T) []exported {
	t.Helper()
	found := map[string]exported{}
	for _, dir := range []string{"app", "internal", "modules", "platform"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, at := range declared.FindAllSubmatchIndex(raw, -1) {
				m := exported{name: string(raw[at[2]:at[3]]), help: string(raw[at[4]:at[5]])}
				if in := labelList.FindSubmatch(raw[at[1]:]); in != nil {
					for label := range strings.SplitSeq(string(in[1])+string(in[2]), `"`) {
						if label = strings.Trim(label, ", "); label != "" {
							m.labels = append(m.labels, label)
						}
					}
				}
				found[m.name] = m
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var list []exported
	for _, m := range found {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b exported) int { return strings.Compare(a.name, b.name) })
	return list
}

// SPEC F3: docs/metrics.md lists every metric.
func TestMetricsAreDocumented_F3(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, m := range exportedMetrics(t) {
		labels := "`" + strings.Join(m.labels, "`, `") + "`"
		if len(m.labels) == 0 {
			labels = ""
		}
		lines = append(lines, "| `"+m.name+"` | "+labels+" | "+m.help+" |")
	}
	golden.CheckTable(t, "../docs/metrics.md", "| metric | labels | meaning |\n|---|---|---|\n", lines)
}

// SPEC F3: what a node exports follows the conventions of Prometheus, has the documented names and
// labels, and answers the questions of an operator about the whole installation.
func TestMetrics_F3(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root := s.admin()
	root.product("KETTLE", 1000)
	id := root.order("KETTLE", 1)
	testwait.Until(t, "the order to be processed", func() bool {
		return root.want(200, "GET", "/v1/orders/"+id, "").text("status") == "PROCESSING"
	})
	root.send("POST", "/v1/auth/login", `{"email":"nobody@example.com","password":"a wrong grey day"}`)

	text := ""
	testwait.Until(t, "the figures of the installation", func() bool {
		a, err := s.anonymous().try("GET", "/metrics", "")
		text = string(a.raw)
		return err == nil && strings.Contains(text, `orderflow_orders{status="PROCESSING"} 1`)
	})

	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "orderflow_") || strings.HasPrefix(p.Metric, "http_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, want := range []string{
		"orderflow_leader 1", `orderflow_order_oldest_seconds{status="PENDING"} 0`, `orderflow_consumer_lag_seconds{consumer="inbox"}`,
		`orderflow_consumer_lag_seconds{consumer="webhooks"}`, `orderflow_job_attempts_total{kind="order_process",outcome="completed"}`,
		`orderflow_job_duration_seconds_count{kind="order_process"}`, `orderflow_jobs_running{kind="order_process"} 0`,
		`orderflow_password_attempts_total{outcome="rejected",purpose="login"} 1`, "orderflow_ready 1", "orderflow_migrations_pending 0",
		"orderflow_redis_duration_seconds_count", "orderflow_redis_errors_total 0", "orderflow_db_retries_total", "orderflow_db_clock_skew_seconds",
		"http_requests_in_flight ", "orderflow_build_info{", "orderflow_events_lag_seconds", "orderflow_events_delivery_seconds_count",
		"orderflow_db_oldest_snapshot_seconds", "orderflow_db_acquire_wait_seconds_total",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	checkLabels(t, text)
}

func checkLabels(t *testing.T, text string) {
	t.Helper()
	known := map[string]exported{}
	for _, m := range exportedMetrics(t) {
		known[m.name] = m
	}
	label := regexp.MustCompile(`([a-z_]+)="`)
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.Fields(line)[0], "{")
		if !strings.HasPrefix(name, "orderflow_") && !strings.HasPrefix(name, "http_") {
			continue
		}
		m, ok := known[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if !ok {
				m, ok = known[strings.TrimSuffix(name, suffix)]
			}
		}
		if !ok {
			t.Errorf("%s is not documented", name)
			continue
		}
		for _, l := range label.FindAllStringSubmatch(rest, -1) {
			if l[1] != "le" && !slices.Contains(m.labels, l[1]) {
				t.Errorf("%s has the label %s, which is not documented", name, l[1])
			}
		}
	}
}

// SPEC F3: while a transaction elsewhere in the cluster holds events back, /health and the metrics say
// so, and name the transaction.
func TestStandstillIsReported_F3(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root := s.admin()
	root.product("KETTLE", 1000)
	elsewhere, err := pgx.Connect(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close(t.Context())
	if _, err := elsewhere.Exec(t.Context(), "begin; create table held ()"); err != nil {
		t.Fatal(err)
	}
	root.order("KETTLE", 1)

	health := func() answer {
		a, err := s.anonymous().try("GET", "/health", "")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	detail := ""
	// Transactions of other tests may be older, but end.
	testwait.Until(t, "the holder to be named", func() bool {
		detail = health().text("parts.events.detail")
		return strings.Contains(detail, fmt.Sprintf("process %d", elsewhere.PgConn().PID()))
	})
	if a := health(); a.status != 200 || a.text("status") != "degraded" || !strings.Contains(detail, "idle in transaction") {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if lag := s.metric("orderflow_events_lag_seconds"); lag < standstill.Seconds() {
		t.Errorf("lag %f", lag)
	}
	if ready := s.anonymous().send("GET", "/readyz", ""); ready.status != 200 {
		t.Errorf("not ready: %s", ready)
	}
	if _, err := elsewhere.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "the standstill to end", func() bool {
		return health().text("parts.events.status") == "ok" && s.metric("orderflow_events_lag_seconds") == 0
	})
}

// A skew of the clocks is reported once and is part of /health.
func TestClockSkewIsReported_F3(t *testing.T) {
	t.Parallel()
	c := &clock{pool: &postgres.Pool{}}
	for skew, wide := range map[time.Duration]bool{0: false, time.Second: false, -time.Second: false, 1001 * time.Millisecond: true, -2 * time.Hour: true} {
		c.pool.SetSkew(skew)
		p := (&health{clock: c}).time()
		if c.isWide() != wide || (p.Status == "degraded") != wide || wide && !strings.Contains(p.Detail, skew.String()) {
			t.Errorf("%s: %+v", skew, p)
		}
	}
}
