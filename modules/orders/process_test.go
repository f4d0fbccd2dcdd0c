package orders_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// D1: one job takes an order through, each step with its event.
func TestJobTakesAnOrderThrough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10, "B": -1})
	o := b.place(b.alice, basket("A", 2, "B", 1, "A", 3))

	b.work()
	b.await(o.ID, lifecycle.Processing)

	if got := b.types(o.ID); got != "order.created stock.reserved payment.authorized order.confirmed order.processing" {
		t.Errorf("history is %s", got)
	}
	if n := b.count(`select reserved from products where sku = 'A'`); n != 5 {
		t.Errorf("%d reserved", n)
	}
}

// D1, B2: one batch may have several requests for one order, as when two jobs of it run at once. Its
// lines count once.
func TestAdvanceTwiceInOneBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10, "B": 10})
	first, second := b.place(b.alice, basket("A", 2, "B", 1)), b.place(b.alice, basket("B", 3))

	if err := b.AdvanceTogether(b.ctx, second.ID, first.ID, second.ID, first.ID, second.ID); err != nil {
		t.Fatal(err)
	}
	for sku, want := range map[string]int64{"A": 2, "B": 4} {
		if n := b.count(`select reserved from products where sku = '` + sku + `'`); n != want {
			t.Errorf("%d reserved of %s, want %d", n, sku, want)
		}
	}
	if n := b.count(`select count(*) from events where type = 'stock.reserved'`); n != 2 {
		t.Errorf("%d reservations", n)
	}
}

// D1: every job may run twice, late, or at once on two nodes.
func TestAdvanceTwiceDoesNothingMore(t *testing.T) {
	t.Parallel()
	one := setup(t)
	two := node(t, one.url)
	one.products(map[string]int64{"A": 10})
	o := one.place(one.alice, basket("A", 2))

	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := []*bundle{one, two}[i%2].Advance(one.ctx, o.ID); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	if n := one.count(`select version from orders`); n != 5 {
		t.Errorf("version %d, want 5", n)
	}
	if n := one.count(`select reserved from products`); n != 2 {
		t.Errorf("%d reserved, want 2", n)
	}
}

// B2: with S units and any number of parallel buyers on two nodes, S are reserved.
func TestLastUnitsAreSoldOnce(t *testing.T) {
	t.Parallel()
	one := setup(t)
	two := node(t, one.url)
	one.products(map[string]int64{"HOT": 7, "B": 1000})

	var all sync.WaitGroup
	for i := range 60 {
		b := []*bundle{one, two}[i%2]
		all.Go(func() {
			w := basket("HOT", 1, "B", 1)
			if i%3 == 0 {
				w = basket("B", 1, "HOT", 1) // B3: the other way round
			}
			if err := b.Advance(b.ctx, b.place(one.alice, w).ID); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	sold := one.count(`select count(*) from orders where status = 'PROCESSING'`)
	failed := one.count(`select count(*) from orders where status = 'FAILED' and failure_code = 'out-of-stock' and failure_skus::text = '["HOT"]'`)
	if sold != 7 || failed != 53 {
		t.Errorf("%d sold, %d failed", sold, failed)
	}
	if n := one.count(`select reserved from products where sku = 'B'`); n != 7 {
		t.Errorf("%d of B reserved: a failed order keeps something", n)
	}
}

// onShortage: fail names the skus, hold waits for a person.
func TestShortage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1, "B": 1, "C": 5})
	w := basket("A", 2, "B", 2, "C", 1)
	fails := b.place(b.alice, w)
	w.OnShortage = "hold"
	holds := b.place(b.alice, w)

	for _, id := range []uuid.UUID{fails.ID, holds.ID} {
		if err := b.Advance(b.ctx, id); err != nil {
			t.Fatal(err)
		}
	}

	failed, _ := b.Get(b.ctx, b.alice, fails.ID)
	if failed.Status != lifecycle.Failed || failed.Failure == nil || failed.Failure.Code != "out-of-stock" ||
		strings.Join(failed.Failure.SKUs, " ") != "A B" || len(failed.AllowedActions) != 0 {
		t.Errorf("failed order is %+v, %+v", failed, failed.Failure)
	}
	held, _ := b.Get(b.ctx, b.alice, holds.ID)
	if held.Status != lifecycle.OnHold || held.HeldFrom == nil || *held.HeldFrom != "PENDING" || held.Reason == nil ||
		!strings.Contains(*held.Reason, "A, B") || strings.Join(held.AllowedActions, " ") != "cancel" {
		t.Errorf("held order is %+v", held)
	}
	if n := b.count(`select sum(reserved) from products`); n != 0 {
		t.Errorf("%d units reserved", n)
	}
}

// D4: out of tries, the order fails and its job is kept as a dead letter.
func TestGivingUpLeavesADeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t, func(d *orders.Deps) { d.Stock = brokenStock{d.Stock} })
	b.products(map[string]int64{"A": 10})
	o := b.place(b.alice, basket("A", 1))
	b.exec(`update river_job set max_attempts = 2, attempt = 1`) // one try is left

	b.work()
	b.await(o.ID, lifecycle.Failed)

	got, _ := b.Get(b.ctx, b.alice, o.ID)
	if got.Failure == nil || got.Failure.Code != "processing-failed" {
		t.Errorf("failure is %+v", got.Failure)
	}
	n := b.count(`select count(*) from dead_letters where order_id = $1 and step = 'reserve' and error like '%shelf fell over%' and resolved_at is null`, o.ID)
	if n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

// D6: an order whose job was deleted by hand gets a new one, and says so.
func TestSweepRepairsALostJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	lost, slow, young := b.place(b.alice, basket("A", 1)), b.place(b.alice, basket("A", 1)), b.place(b.alice, basket("A", 1))
	b.exec(`delete from river_job where args->>'orderId' in ($1, $2)`, lost.ID.String(), young.ID.String())
	b.exec(`update orders set due_at = now() - interval '1 s' where id in ($1, $2)`, lost.ID, slow.ID)

	var all sync.WaitGroup
	two := node(t, b.url)
	for i := range 10 { // any number of nodes may sweep at once
		all.Go(func() {
			if _, err := []*bundle{b, two}[i%2].SweepOnce(b.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	if got := b.types(lost.ID); got != "order.created order.stalled" {
		t.Errorf("history of the lost one is %s", got)
	}
	if got := b.types(slow.ID) + b.types(young.ID); got != "order.createdorder.created" {
		t.Errorf("histories of the others are %s", got)
	}
	if n := b.count(`select count(*) from river_job where args->>'orderId' = $1`, lost.ID.String()); n != 1 {
		t.Errorf("%d jobs", n)
	}
	b.work()
	b.await(lost.ID, lifecycle.Processing)
}

// C9: a late worker never overwrites a newer state.
func TestLateWorkerLeavesACancelledOrderAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	o := b.place(b.alice, basket("A", 1))
	b.cancel(b.alice, o.ID)

	if err := b.Advance(b.ctx, o.ID); err != nil {
		t.Fatal(err)
	}

	if got := b.types(o.ID); got != "order.created order.cancelled" {
		t.Errorf("history is %s", got)
	}
}

// brokenStock fails for a reason that goes away by itself.
type brokenStock struct{ orders.Stock }

func (brokenStock) Reserve(context.Context, pgx.Tx, []uuid.UUID, []string, []int64) (map[uuid.UUID][]string, error) {
	return nil, errors.New("the shelf fell over")
}

// await polls until an order has a status.
func (b *bundle) await(id uuid.UUID, want lifecycle.Status) {
	b.t.Helper()
	testwait.Until(b.t, fmt.Sprintf("order %s to become %s", id, want), func() bool { // nothing in this process tells of another one's commit
		o, err := b.Get(b.ctx, b.admin, id)
		if err != nil {
			b.t.Fatal(err)
		}
		return o.Status == want
	})
}

func (b *bundle) types(id uuid.UUID) string {
	b.t.Helper()
	list, err := b.log.History(b.ctx, id)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Type)
		if !json.Valid(e.Data) {
			b.t.Errorf("data of %s is not JSON", e.Type)
		}
	}
	return strings.Join(names, " ")
}

// D5: what a killed worker had in hand runs elsewhere. The row is as kill -9
// leaves it: running, for longer than any job may, on a node that is no more.
func TestKilledWorkersJobsAreTakenOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	o := b.place(b.alice, basket("A", 1))
	b.exec(`update river_job set state = 'running', attempt = 1, attempted_at = now() - interval '61 s', attempted_by = array['gone']`)

	b.work()

	b.await(o.ID, lifecycle.Processing)
}
