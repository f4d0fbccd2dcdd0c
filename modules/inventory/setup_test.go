package inventory

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

// shop is a module with a database of its own; node gives it a second node.
type bundle struct {
	*Module
	t     testing.TB
	url   string
	admin identity.Caller
}

func setup(t testing.TB) *bundle {
	t.Helper()
	s := &bundle{t: t, url: pgtest.URL(t), admin: identity.Caller{UserID: uuid.New(), Role: identity.Admin}}
	s.Module = s.node()
	return s
}

func (s *bundle) node() *Module {
	s.t.Helper()
	pool, err := postgres.Open(context.Background(), s.url, 16)
	must(s.t, err)
	s.t.Cleanup(pool.Close)
	return New(Deps{Pool: pool, InFlight: &idempotency.InFlight{}})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *bundle) tx(m *Module, do func(tx pgx.Tx) error) {
	s.t.Helper()
	must(s.t, postgres.InTx(context.Background(), m.pool, do))
}

// stock creates products of 10.00 EUR with so many units each; nil is untracked.
func (s *bundle) stock(stock *int64, skus ...string) {
	s.t.Helper()
	for _, sku := range skus {
		p := ProductRequest{SKU: sku, Name: "The " + sku, UnitPrice: money.Money{Amount: 1000, Currency: "EUR"}, Stock: stock}
		_, err := s.create(context.Background(), s.admin, idempotency.Key[*ent.Product]{}, p)
		must(s.t, err)
	}
}

// wants is what one order asks for.
type wants struct {
	order uuid.UUID
	units map[string]int64
}

func want(sku string, n int64) wants { return wants{uuid.New(), map[string]int64{sku: n}} }

func reserve(m *Module, list ...wants) (short map[uuid.UUID][]string, err error) {
	var orders []uuid.UUID
	var skus []string
	var quantities []int64
	for _, w := range list {
		for sku, n := range w.units {
			orders, skus, quantities = append(orders, w.order), append(skus, sku), append(quantities, n)
		}
	}
	err = once(m, func(tx pgx.Tx) error {
		short, err = m.Reserve(context.Background(), tx, orders, skus, quantities)
		return err
	})
	return short, err
}

func release(m *Module, orders ...uuid.UUID) (released map[uuid.UUID]map[string]int64, err error) {
	err = once(m, func(tx pgx.Tx) error {
		released, err = m.Release(context.Background(), tx, orders)
		return err
	})
	return released, err
}

func ship(m *Module, orders ...uuid.UUID) (shipped map[uuid.UUID]map[string]int64, err error) {
	err = once(m, func(tx pgx.Tx) error {
		shipped, err = m.Ship(context.Background(), tx, "admin:carla", orders)
		return err
	})
	return shipped, err
}

// once is InTx without its retries, so that a dead-lock is seen.
func once(m *Module, do func(tx pgx.Tx) error) error {
	ctx := context.Background()
	tx, err := m.pool.Begin(ctx)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	return tx.Commit(ctx)
}

// count asks the database one number.
func (s *bundle) count(sql string, args ...any) (n int64) {
	s.t.Helper()
	must(s.t, s.pool.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

func (s *bundle) reserved(sku string) int64 {
	return s.count(`select reserved from products where sku = $1`, sku)
}

// audit checks what must hold at all times: the stock is the sum of its
// movements, after each of them and in the end, what is reserved is what orders
// hold, and there is enough of it.
func (s *bundle) audit() {
	s.t.Helper()
	rows, err := s.pool.Query(context.Background(), `
		select sku from products
		left join (select sku, sum(delta) as moved from movements group by sku) m using (sku)
		left join (select sku, sum(quantity) as held from reservations where state = 'held' group by sku) r using (sku)
		where coalesce(stock, 0) <> coalesce(moved, 0) or reserved <> coalesce(held, 0) or stock < reserved
		union
		select sku from (select sku, stock, sum(delta) over (partition by sku order by id) as moved from movements) m
		where coalesce(stock, 0) <> moved`)
	must(s.t, err)
	broken, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(s.t, err)
	if len(broken) > 0 {
		s.t.Fatalf("the books of %v do not balance", broken)
	}
}

func refused(t testing.TB, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func always(int64) error { return nil }

func priced(amount int64) *money.Money { return &money.Money{Amount: amount, Currency: "EUR"} }
