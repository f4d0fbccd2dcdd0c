package app

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// tallies is a module with every ability: it counts events and jobs in a table of its own.
type tallies struct {
	p       *Platform
	running atomic.Int32
}

func newTallies(p *Platform) (Module, error) { return &tallies{p: p}, nil }

var _ interface {
	Module
	HasWorkers
	HasQueues
	Runner
	BackgroundWorker
	HasMigrations
	EventConsumer
	Observer
	HasInvariants
	HasSteps
} = (*tallies)(nil)

func (*tallies) Name() string { return "tallies" }

func (m *tallies) Routes(api *web.API) {
	web.Handle(api, web.Route{Method: "GET", Path: "/v1/tallies", Name: "list-tallies", Role: identity.User, Scope: "tallies:read"},
		func(ctx context.Context, _ *struct{}) (*struct{ Body map[string]int64 }, error) {
			rows, err := m.p.Pool.Query(ctx, "select name, n from tallies")
			if err != nil {
				return nil, err
			}
			out := &struct{ Body map[string]int64 }{map[string]int64{"running": int64(m.running.Load())}}
			var name string
			var n int64
			_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { out.Body[name] = n; return nil })
			return out, err
		})
}

type tallyArgs struct{}

func (tallyArgs) Kind() string { return "tally" }

func (tallyArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: "tallies"} }

type tallyWorker struct {
	river.WorkerDefaults[tallyArgs]
	m *tallies
}

func (w *tallyWorker) Work(ctx context.Context, _ *river.Job[tallyArgs]) error {
	return add(ctx, w.m.p.Pool, "jobs", 1)
}

func add(ctx context.Context, q postgres.Querier, name string, n int) error {
	_, err := q.Exec(ctx, "insert into tallies as t values ($1, $2) on conflict (name) do update set n = t.n + excluded.n", name, n)
	return err
}

func (m *tallies) Workers(w *river.Workers) { river.AddWorker(w, &tallyWorker{m: m}) }

func (*tallies) Queues() map[string]int { return map[string]int{"tallies": 2} }

func (m *tallies) Run(ctx context.Context) error {
	m.running.Add(1)
	<-ctx.Done()
	return nil
}

func (m *tallies) Work(ctx context.Context) error {
	m.running.Add(1)
	<-ctx.Done()
	return nil
}

func (*tallies) Migrations() fs.FS {
	return fstest.MapFS{"1_tallies.sql": {Data: []byte("-- +goose Up\ncreate table tallies (name text primary key, n bigint not null);\n-- +goose Down\ndrop table tallies;\n")}}
}

func (m *tallies) Consume(ctx context.Context, tx pgx.Tx, list []events.Event) error {
	if _, err := m.p.Queue.InsertTx(ctx, tx, tallyArgs{}, nil); err != nil {
		return err
	}
	return add(ctx, tx, "events", len(list))
}

func (*tallies) Observe(r prometheus.Registerer) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tallies_ready"})
	g.Set(1)
	r.MustRegister(g)
}

func (*tallies) Invariants() []Invariant {
	return []Invariant{{Name: "tallies-count", Says: "no tally is above a hundred", Query: "select name, n::text from tallies where n > 100"}}
}

// Steps: the module counts the orders that it lets through.
func (m *tallies) Steps() []orders.Step {
	return []orders.Step{{Name: "tally", Check: func(ctx context.Context, r orders.StepRequest) (orders.Verdict, error) {
		return orders.Continue(), add(ctx, m.p.Pool, r.Key, 1)
	}}}
}

// Every ability of a module that an option adds is used: the table is there, the route has
// a scope of its own, events and jobs arrive, its step decides, metrics and invariants are shown.
func TestModuleOfAnOption(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	options := []Option{WithModule(newTallies), WithProvider("barter", newBarter)}
	cfg.PaymentProvider = "barter"
	s := serveLogging(t, cfg, slog.New(slog.DiscardHandler), options...)
	root, ann := s.admin(), s.user("ann")
	root.product("KETTLE", 10)

	id := ann.order("KETTLE", 1)
	ann.becomes(id, "PROCESSING")
	testwait.Until(t, "the module's jobs", func() bool {
		a := ann.want(200, "GET", "/v1/tallies", "")
		return a.at("jobs") != nil && fmt.Sprint(a.at("events")) >= "3" && fmt.Sprint(a.at("running")) == "2"
	})

	if n := ann.want(200, "GET", "/v1/tallies", "").at(id + ":1:tally"); fmt.Sprint(n) != "1" {
		t.Errorf("the module's step ran %v times", n)
	}
	if steps := statuses(ann.want(200, "GET", "/v1/orders/"+id, "")); !slices.Equal(steps, []string{"tally passed"}) {
		t.Errorf("the order has the steps %q", steps)
	}
	s.anonymous().want(401, "GET", "/v1/tallies", "")
	key := &client{server: s, token: ann.want(201, "POST", "/v1/api-keys", `{"name":"k","scopes":["tallies:read"]}`).text("secret")}
	key.want(200, "GET", "/v1/tallies", "")
	if code := key.want(403, "GET", "/v1/orders", "").text("code"); code != "scope-missing" {
		t.Error(code)
	}
	other := &client{server: s, token: ann.want(201, "POST", "/v1/api-keys", `{"name":"k","scopes":["orders:read"]}`).text("secret")}
	other.want(403, "GET", "/v1/tallies", "")
	ann.want(422, "POST", "/v1/api-keys", `{"name":"k","scopes":["tallies:write"]}`)
	if s.metric("tallies_ready") != 1 {
		t.Error("the module's metric is not shown")
	}

	p, err := newProgram(&cfg, extensionsOf(options))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connectToVerify(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "insert into tallies values ('too many', 101)"); err != nil {
		t.Fatal(err)
	}
	report, err := verify(t.Context(), conn, audit.Keys{}, false, 10, nil, p.invariants...)
	if err != nil || report.Broken != 1 || report.findings[len(report.findings)-1].Name != "tallies-count" {
		t.Errorf("verify: %v, %+v", err, report)
	}
	var provider string
	if err := conn.QueryRow(t.Context(), "select provider from payments").Scan(&provider); err != nil || provider != "barter" {
		t.Errorf("the payment is with %q, %v", provider, err)
	}
}

// barter is the simulated provider under another name.
type barter struct{ payments.Provider }

func (barter) Name() string { return "barter" }

func newBarter(*Platform) (payments.Provider, error) {
	return barter{simulated.NewBank(simulated.Options{})}, nil
}

// named is a module that is wrong in one way.
type named struct {
	name, sql string
	paths     []string
}

func (m named) Name() string { return m.name }

func (m named) Routes(api *web.API) {
	for i, path := range m.paths {
		web.Handle(api, web.Route{Method: http.MethodGet, Path: path, Name: fmt.Sprint(m.name, i), Role: identity.Anyone},
			func(context.Context, *struct{}) (*struct{}, error) { return &struct{}{}, nil })
	}
}

func (m named) Migrations() fs.FS {
	return fstest.MapFS{"1_" + m.name + ".sql": {Data: []byte("-- +goose Up\n" + m.sql)}}
}

// lawful has an invariant of its own and one of the product's.
type lawful struct{ named }

func (lawful) Invariants() []Invariant {
	return []Invariant{{Name: "mine"}, {Name: moneyLaws[0].Name}}
}

func added(modules ...Module) (options []Option) {
	for _, m := range modules {
		options = append(options, WithModule(func(*Platform) (Module, error) { return m, nil }))
	}
	return options
}

// All faults of the options are reported together, before the start.
func TestWrongOptions(t *testing.T) {
	t.Parallel()
	provider := WithProvider("barter", newBarter)
	misnamed := WithProvider("swap", newBarter)
	for name, row := range map[string]struct {
		provider string
		options  []Option
		want     []string
	}{
		"nothing":         {"simulated", nil, nil},
		"two of one name": {"simulated", added(named{name: "coupons"}, named{name: "coupons"}), []string{`module "coupons": there are two`}},
		"the product's":   {"simulated", added(named{name: "orders"}), []string{`module "orders": there are two`}},
		"names":           {"simulated", added(named{name: "Coupons"}, named{name: ""}), []string{`module "Coupons": a name is`, `module "": a name is`}},
		"tables": {"simulated", added(
			named{name: "a", sql: "create table Orders2 (); create table x ();\nCREATE TABLE IF NOT EXISTS orders ();"},
			named{name: "b", sql: "create unlogged table x ();"},
			named{name: "c", sql: "create table river_extra ();"},
		), []string{"module a: 1_a.sql creates the table orders, which belongs to orderflow", "module c: 1_c.sql creates the table river_extra"}},
		"the same table": {"simulated", added(named{name: "a", sql: "create table x ();"}, named{name: "b", sql: "create table x ();"}),
			[]string{"module b: 1_b.sql creates the table x, which belongs to a"}},
		"routes": {"simulated", added(named{name: "a", paths: []string{"/v1/a/{id}", "/v1/a/b"}}, named{name: "b", paths: []string{"/v1/orders"}}),
			[]string{"module a: web: GET /v1/a/{id} hides /v1/a/b", "module b: web: GET /v1/orders hides /v1/orders"}},
		"providers": {"barter", append(added(named{name: "Coupons"}), provider, WithProvider("barter", newBarter), WithProvider("Stripe", newBarter), WithProvider("stripe", newBarter)),
			[]string{`payment provider "barter": there are two`, `payment provider "Stripe": a name is`, `payment provider "stripe": there are two`, `module "Coupons"`}},
		"another name": {"swap", []Option{misnamed}, []string{`payment provider swap: it calls itself "barter"`}},
		"invariants":   {"simulated", added(lawful{named{name: "a"}}, lawful{named{name: "b"}}), []string{`module a: there are two invariants "` + moneyLaws[0].Name, `module b: there are two invariants "mine"`}},
		"no provider":  {"cash", []Option{provider}, []string{`there is no payment provider "cash"`}},
		"nil":          {"simulated", []Option{WithModule(nil), WithProvider("none", nil)}, []string{"module 1 of the options returned nil", `"none": its constructor is nil`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := newProgram(&config.Config{Issuer: "test", Audience: "test", PaymentProvider: row.provider}, extensionsOf(row.options))

			if (err == nil) != (row.want == nil) {
				t.Fatalf("it says %v", err)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it says\n%v\nwithout\n%s", err, want)
				}
			}
		})
	}
}
