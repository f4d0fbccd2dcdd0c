package orders_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

// bundle is one node of the module over a database of its own.
type bundle struct {
	*orders.Module
	t     *testing.T
	ctx   context.Context
	url   string
	pool  *postgres.Pool
	log   *events.Log
	stock *inventory.Module
	bank  *simulated.Bank // one for all nodes on a database
	alice identity.Caller
	bob   identity.Caller
	admin identity.Caller
}

var banks sync.Map // by the URL of the database

type option func(*orders.Deps)

func setup(t *testing.T, opts ...option) *bundle {
	t.Helper()
	return node(t, pgtest.URL(t), opts...)
}

// node opens another node on a database.
func node(t *testing.T, url string, opts ...option) *bundle {
	t.Helper()
	ctx := t.Context()
	out := slog.New(slog.DiscardHandler)
	pool, err := postgres.Open(ctx, url, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	inserter, err := queue.NewInserter(pool, out)
	if err != nil {
		t.Fatal(err)
	}
	log, err := events.OpenLog(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	running := &idempotency.InFlight{}
	stock := inventory.New(inventory.Deps{Pool: pool, InFlight: running, Changed: func() {}, Log: out})
	made, _ := banks.LoadOrStore(url, simulated.NewBank(simulated.Options{Remember: true}))
	bank := made.(*simulated.Bank)
	deps := orders.Deps{
		Pool: pool, Queue: inserter, Events: log, Catalogue: stock, Stock: stock, InFlight: running, Reads: reads.New(8),
		Open: with(pool, bank), ReservationTTL: time.Hour,
		Wake: func() {}, Log: out, Metrics: prometheus.NewRegistry(),
	}
	for _, o := range opts {
		o(&deps)
	}
	b := &bundle{
		Module: orders.New(deps), t: t, ctx: ctx, url: url, pool: pool, log: log, stock: stock, bank: bank,
		alice: caller(identity.User), bob: caller(identity.User), admin: caller(identity.Admin),
	}
	b.start(b.Run)
	return b
}

// with opens the settlement of payments that go through a provider.
func with(pool *postgres.Pool, p payments.Provider) func(*pgx.Batch, []uuid.UUID) orders.Settlement {
	m := payments.New(payments.Deps{Pool: pool, Provider: p})
	return func(b *pgx.Batch, ids []uuid.UUID) orders.Settlement { return m.Open(b, ids) }
}

func caller(role identity.Role) identity.Caller {
	return identity.Caller{UserID: uuid.Must(uuid.NewV7()), SessionID: uuid.New(), Role: role}
}

// start runs something until the end of the test.
func (b *bundle) start(run func(context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

// work starts a worker on this node.
func (b *bundle) work() *queue.Client {
	b.t.Helper()
	workers := river.NewWorkers()
	b.Workers(workers)
	c, err := queue.NewWorker(b.pool, queue.Options{Workers: workers, MaxWorkers: 50, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.start(func(ctx context.Context) error { return queue.Run(ctx, c, 0) })
	return c
}

// products puts skus on sale at 1.00 EUR each with so many units; -1 is untracked.
func (b *bundle) products(units map[string]int64) {
	b.t.Helper()
	var list []inventory.ProductRequest
	for sku, n := range units {
		p := inventory.ProductRequest{SKU: sku, Name: "Name of " + sku, UnitPrice: money.Money{Amount: 100, Currency: "EUR"}}
		if n >= 0 {
			p.Stock = &n
		}
		list = append(list, p)
	}
	if err := b.stock.Seed(b.ctx, list); err != nil {
		b.t.Fatal(err)
	}
}

func basket(pairs ...any) orders.OrderRequest {
	var w orders.OrderRequest
	for i := 0; i < len(pairs); i += 2 {
		w.Items = append(w.Items, orders.OrderRequestItem{SKU: pairs[i].(string), Quantity: int64(pairs[i+1].(int))})
	}
	return w
}

// place places an order without a key and returns it.
func (b *bundle) place(c identity.Caller, w orders.OrderRequest) orders.Order {
	b.t.Helper()
	a, err := b.Place(b.ctx, c, w, idempotency.Key[orders.Order]{})
	if err != nil {
		b.t.Fatal(err)
	}
	return a.Value
}

// key is the key of a request to place an order, with the route's rendering.
func key(c identity.Caller, name, body string) idempotency.Key[orders.Order] {
	return idempotency.Key[orders.Order]{Request: requestOf(c, name, body), Renderer: orders.PlacedRenderer}
}

func requestOf(c identity.Caller, name, body string) idempotency.Request {
	return idempotency.Request{Caller: c.UserID, Route: "POST /v1/orders", Key: name, Fingerprint: []byte(body)}
}

// count runs a query for one number.
func (b *bundle) count(query string, args ...any) (n int64) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.ctx, query, args...).Scan(&n); err != nil {
		b.t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return n
}

func (b *bundle) exec(query string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.ctx, query, args...); err != nil {
		b.t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
}
