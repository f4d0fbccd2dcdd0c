package orders_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// bulk places n orders of a caller in bulk.
func (b *bundle) bulk(c identity.Caller, n int) {
	b.t.Helper()
	for ; n > 0; n -= 1000 {
		list := make([]orders.OrderRequest, min(n, 1000))
		for i := range list {
			list[i] = basket("A", 1)
		}
		if _, err := b.PlaceMany(b.ctx, c, baskets(list...), true, idempotency.Key[[]orders.BulkOrderResult]{}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// priorities counts the jobs of an account by priority.
func (b *bundle) priorities(c identity.Caller) string {
	b.t.Helper()
	var counts []string
	for p := 1; p <= 4; p++ {
		counts = append(counts, fmt.Sprint(b.count(`
			select count(*) from river_job j join orders o on o.id = (j.args->>'orderId')::uuid
			where o.user_id = $1 and j.priority = $2 and j.state = 'available'`, c.UserID, p)))
	}
	return strings.Join(counts, " ")
}

// workOne starts a worker that works one job at a time.
func (b *bundle) workOne() {
	b.t.Helper()
	workers := river.NewWorkers()
	b.Workers(workers)
	c, err := queue.NewWorker(b.pool, queue.Options{Workers: workers, MaxWorkers: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.start(func(ctx context.Context) error { return queue.Run(ctx, c, 0) })
}

// processedBefore counts the orders of an account that were processed before one of another account.
func (b *bundle) processedBefore(c identity.Caller, id uuid.UUID) int64 {
	b.t.Helper()
	return b.count(`
		select count(*) from events e join orders o on o.id = e.order_id
		where o.user_id = $1 and e.type = 'order.processing' and e.seq < (select seq from events where order_id = $2 and type = 'order.processing')`,
		c.UserID, id)
}

// SPEC F13: an account with a backlog does not delay the order of another one: by the order in which
// one worker serves them, only the first orders of the account come before.
func TestABacklogDoesNotDelayOthers_F13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	b.bulk(b.alice, 300)
	late := b.place(b.bob, basket("A", 1))

	b.workOne()
	b.await(late.ID, lifecycle.Processing)

	if n := b.processedBefore(b.alice, late.ID); n > 50 {
		t.Errorf("%d orders of the account with a backlog came before", n)
	}
}

// SPEC F13: the further back an order is in the backlog of its own account, the lower is its priority;
// a single order and a bulk request count alike.
func TestPrioritiesOfABacklog_F13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})

	for range 49 {
		b.place(b.alice, basket("A", 1))
	}
	if got := b.priorities(b.alice); got != "49 0 0 0" {
		t.Errorf("49 orders: %s", got)
	}
	for range 11 {
		b.place(b.alice, basket("A", 1))
	}
	if got := b.priorities(b.alice); got != "50 10 0 0" {
		t.Errorf("60 orders: %s", got)
	}
	b.bulk(b.alice, 2100)
	if got := b.priorities(b.alice); got != "50 450 1500 160" {
		t.Errorf("2,160 orders: %s", got)
	}
	b.place(b.bob, basket("A", 1))
	if got := b.priorities(b.bob); got != "1 0 0 0" {
		t.Errorf("another account: %s", got)
	}
}

// SPEC F13: a node counts the orders that wait on all nodes. What was processed, or waits for
// something else than a worker, does not count.
func TestABacklogIsThatOfAllNodes_F13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	b.bulk(b.alice, 600)

	other := node(t, b.url)
	other.bulk(b.alice, 60)
	if got := b.priorities(b.alice); got != "100 450 110 0" { // each node gives 50 the first priority unseen
		t.Errorf("on another node: %s", got)
	}

	b.exec(`update orders set status = 'PROCESSING' where id not in (select id from orders order by id desc limit 20)`)
	third := node(t, b.url)
	third.bulk(b.alice, 60)
	if got := b.priorities(b.alice); got != "150 460 110 0" {
		t.Errorf("with 20 that wait: %s", got)
	}
}

// SPEC F13: jobs of orders that exist, such as those of a sweep, have the same limits.
func TestJobsOfASweepHavePriorities_F13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	b.bulk(b.alice, 70)
	b.place(b.bob, basket("A", 1))
	b.exec(`delete from river_job`)
	b.exec(`update orders set due_at = now() - interval '1 minute'`)

	sweeper := node(t, b.url)
	if n, err := sweeper.SweepOnce(b.ctx); err != nil || n != 71 {
		t.Fatal(n, err)
	}

	if a, other := b.priorities(b.alice), b.priorities(b.bob); a != "50 20 0 0" || other != "1 0 0 0" {
		t.Errorf("%s and %s", a, other)
	}
}

// SPEC F13: a job that has waited for long is promoted: it runs before jobs of the first priority that
// came later.
func TestNoJobStarves_F13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	b.bulk(b.alice, 51)
	last := b.order(b.alice)
	b.exec(`delete from river_job where priority = 1`)
	for range 5 {
		b.place(b.bob, basket("A", 1))
	}
	if n, err := b.PromoteJobs(b.ctx); err != nil || n != 0 {
		t.Fatalf("promoted %d jobs that are new, %v", n, err)
	}
	b.exec(`update river_job set scheduled_at = now() - interval '11 seconds' where priority = 2`)

	if n, err := b.PromoteJobs(b.ctx); err != nil || n != 1 {
		t.Fatalf("promoted %d, %v", n, err)
	}

	b.workOne()
	b.await(last, lifecycle.Processing)
	if n := b.processedBefore(b.bob, last); n != 0 {
		t.Errorf("%d jobs that came later were served first", n)
	}
}

// order returns the id of the last order of an account.
func (b *bundle) order(c identity.Caller) (id uuid.UUID) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.ctx, `select id from orders where user_id = $1 order by id desc limit 1`, c.UserID).Scan(&id); err != nil {
		b.t.Fatal(err)
	}
	return id
}
