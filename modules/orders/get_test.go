package orders_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/batch"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// C5, A5: concurrent reads share their statements, and each caller gets the order that it asked
// for if it may see it, and nothing else.
func TestReadsShareStatements(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	b := setup(t, func(d *orders.Deps) { d.Metrics = metrics })
	b.products(map[string]int64{"A": 1000, "B": 1000})
	owners := []identity.Caller{b.alice, b.bob}
	ids := make([]uuid.UUID, 10)
	for i := range ids {
		ids[i] = b.place(owners[i%2], orders.OrderRequest{Items: []orders.OrderRequestItem{{SKU: "B", Quantity: int64(i + 1)}, {SKU: "A", Quantity: 1}}}).ID
	}
	unknown := uuid.Must(uuid.NewV7())

	// Nothing can be read while the table is locked, so all calls after the first ones wait for the next batch.
	tx, err := b.pool.Begin(b.ctx)
	b.must(err)
	_, err = tx.Exec(b.ctx, `lock table orders in access exclusive mode`)
	b.must(err)
	var calls sync.WaitGroup
	get := func(c identity.Caller, id uuid.UUID, want int64) {
		calls.Go(func() {
			o, err := b.Get(b.ctx, c, id)
			switch f, _ := fault.As(err); {
			case want == 0 && (f == nil || f.Kind != fault.KindNotFound):
				t.Errorf("an order that the caller may not see: %v", err)
			case want > 0 && (err != nil || o.ID != id || len(o.Items) != 2 || o.Items[0].SKU != "B" || o.Items[0].Quantity != want || o.Items[1].SKU != "A"):
				t.Errorf("order %d: %v: %+v", want, err, o)
			}
		})
	}
	const readers = 20
	for range readers {
		for i, id := range ids {
			get(owners[i%2], id, int64(i+1))
			get(owners[(i+1)%2], id, 0)
			get(b.admin, id, int64(i+1))
		}
		get(b.admin, unknown, 0)
	}
	testwait.Until(t, "the first batches wait for the lock", func() bool {
		return b.count(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 2
	})
	b.must(tx.Rollback(b.ctx))
	calls.Wait()

	batches, items := batchesOf(t, metrics, "get")
	if items != readers*(3*len(ids)+1) {
		t.Errorf("%d reads in batches", items)
	}
	if batches > 6 {
		t.Errorf("%d reads took %d batches", items, batches)
	}
}

// A call whose context ends gets that error and no other, whether its batch runs or waits.
func TestReadsEndWithTheirCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, basket("A", 1)).ID
	tx, err := b.pool.Begin(b.ctx)
	b.must(err)
	_, err = tx.Exec(b.ctx, `lock table orders in access exclusive mode`)
	b.must(err)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			if _, err := b.Get(ctx, b.alice, id); !errors.Is(err, context.Canceled) || errors.Is(err, batch.ErrOutcomeUnknown) {
				t.Errorf("after the end of its context: %v", err)
			}
		})
	}
	testwait.Until(t, "a batch waits for the lock", func() bool {
		return b.count(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) > 0
	})

	cancel()

	calls.Wait() // while the lock is held
	b.must(tx.Rollback(b.ctx))
	if o := b.get(id); o.ID != id {
		t.Errorf("then: %+v", o)
	}
}

// C5: the statements of a page may see different orders. Then it is read again, in one snapshot.
func TestPageOfTwoSnapshots_C5(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	older := b.place(b.alice, basket("A", 1)).ID
	b.place(b.alice, basket("A", 2))
	b.exec(`create sequence statements`)
	// The newer order is there for the first statement and gone for the second.
	page := storage.Page{Limit: 1, Parts: []storage.Range{{Where: "(o.id = $2 or nextval('statements') = 1)", Order: "o.id desc"}}, Args: []any{older}}

	_, changed := page.Read(b.ctx, b.pool)
	again, err := page.Read(b.ctx, b.pool)

	if !errors.Is(changed, storage.ErrChanged) {
		t.Errorf("the lines of another page than the rows: %v", changed)
	}
	if err != nil || len(again) != 1 || again[0].Row.ID != older || len(again[0].Lines) != 1 {
		t.Errorf("the second page: %v: %+v", err, again)
	}
}

// G2: reads use indexes although the planner knows nothing about the tables.
func TestReadsUseIndexes_G2(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	b.place(b.alice, basket("A", 1))
	explain := &explainer{Querier: b.pool}
	page := storage.Page{Limit: 11, Parts: []storage.Range{{Where: "o.user_id between $2 and $2", Order: "o.user_id, o.id desc"}}, Args: []any{b.alice.UserID}}

	_, err := storage.Read(b.ctx, explain, []uuid.UUID{uuid.New(), uuid.New()})
	b.must(err)
	_, err = page.Read(b.ctx, explain)
	b.must(err)

	if len(explain.plans) != 4 {
		t.Fatalf("%d plans", len(explain.plans))
	}
	for _, plan := range explain.plans {
		if strings.Contains(plan, "Seq Scan") {
			t.Errorf("it reads a whole table:\n%s", plan)
		}
	}
}

// explainer keeps the plans of the statements that it sends.
type explainer struct {
	postgres.Querier
	plans []string
}

func (e *explainer) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		rows, err := e.Query(ctx, "explain "+q.SQL, q.Arguments...)
		if err == nil {
			var lines []string
			lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
			e.plans = append(e.plans, strings.Join(lines, "\n"))
		}
		if err != nil {
			e.plans = append(e.plans, "Seq Scan? "+err.Error())
		}
	}
	return e.Querier.SendBatch(ctx, b)
}

// batchesOf returns the number of batches of a kind that ran, and of their items.
func batchesOf(t *testing.T, metrics prometheus.Gatherer, kind string) (batches, items int) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "orderflow_batch_items" && m.GetLabel()[0].GetValue() == kind {
				return int(m.GetHistogram().GetSampleCount()), int(m.GetHistogram().GetSampleSum())
			}
		}
	}
	t.Fatalf("there are no batches %q", kind)
	return 0, 0
}
