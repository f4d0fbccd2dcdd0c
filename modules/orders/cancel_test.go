package orders_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (b *bundle) cancel(c identity.Caller, id uuid.UUID) orders.Order {
	b.t.Helper()
	a, err := b.Cancel(b.ctx, c, id, nil, nil, idempotency.Key[orders.Order]{})
	if err != nil {
		b.t.Fatal(err)
	}
	return a.Value
}

// processed places an order and takes it to PROCESSING.
func (b *bundle) processed(c identity.Caller, w orders.OrderRequest) orders.Order {
	b.t.Helper()
	o := b.place(c, w)
	if err := b.Advance(b.ctx, o.ID); err != nil {
		b.t.Fatal(err)
	}
	return o
}

// B4, C7: 20 parallel cancels leave stock where it began, and all are answered 200.
func TestParallelCancelsReleaseOnce(t *testing.T) {
	t.Parallel()
	one := setup(t)
	two := node(t, one.url)
	one.products(map[string]int64{"A": 10, "B": 10})
	o := one.processed(one.alice, basket("A", 4, "B", 1))

	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			b := []*bundle{one, two}[i%2]
			a, err := b.Cancel(b.ctx, one.admin, o.ID, new(fmt.Sprint("reason ", i)), nil, idempotency.Key[orders.Order]{})
			if err != nil || a.Value.Status != lifecycle.Cancelled {
				t.Errorf("cancel %d: %+v, %v", i, a, err)
			}
		})
	}
	all.Wait()

	if n := one.count(`select sum(reserved) from products`); n != 0 {
		t.Errorf("%d units still reserved", n)
	}
	if got := one.types(o.ID); got != "order.created stock.reserved payment.authorized order.confirmed order.processing stock.released order.cancelled" {
		t.Errorf("history is %s", got)
	}
}

// C7, C9, C10: cancellation by role and status. An action in allowedActions succeeds; any other is
// refused with the transitions of the table.
func TestCancelByTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000})
	rows := []struct {
		status  lifecycle.Status
		by      identity.Caller
		allowed bool
	}{
		{lifecycle.Pending, b.alice, true}, {lifecycle.Pending, b.admin, true},
		{lifecycle.Confirmed, b.alice, true}, {lifecycle.Confirmed, b.admin, true},
		{lifecycle.Processing, b.alice, true}, {lifecycle.Processing, b.admin, true},
		{lifecycle.Shipped, b.alice, false}, {lifecycle.Shipped, b.admin, false},
		{lifecycle.OnHold, b.alice, true}, {lifecycle.OnHold, b.admin, true},
		{lifecycle.Failed, b.alice, false}, {lifecycle.Failed, b.admin, false},
		{lifecycle.Completed, b.alice, false}, {lifecycle.Completed, b.admin, false},
		{lifecycle.Cancelled, b.alice, true}, {lifecycle.Cancelled, b.admin, true}, // the same order again
	}
	for _, row := range rows {
		t.Run(fmt.Sprintf("%s by %s", row.status, row.by.Role), func(t *testing.T) {
			t.Parallel()
			o := b.place(b.alice, basket("A", 1))
			b.exec(`update orders set status = $2::text, held_from = case when $2::text = 'ON_HOLD' then 'PENDING' end,
				due_at = case when $2::text in ('PENDING', 'CONFIRMED') then now() end where id = $1`, o.ID, string(row.status))
			seen, err := b.Get(b.ctx, row.by, o.ID)
			if err != nil {
				t.Fatal(err)
			}

			a, err := b.Cancel(b.ctx, row.by, o.ID, nil, nil, idempotency.Key[orders.Order]{})

			if row.allowed != (err == nil) {
				t.Fatalf("cancel: %v", err)
			}
			listed := slices.Contains(seen.AllowedActions, "cancel")
			if listed != (row.allowed && row.status != lifecycle.Cancelled) {
				t.Errorf("listed %v", listed)
			}
			if err == nil {
				if got := a.Value; got.Status != lifecycle.Cancelled {
					t.Errorf("answered with %s", got.Status)
				}
				return
			}
			f, _ := fault.As(err)
			if f == nil || f.Code != "illegal-transition" || f.Extra["from"] != row.status || f.Extra["to"] != lifecycle.Cancelled || f.Extra["allowed"] == nil {
				t.Errorf("refused with %+v", f)
			}
		})
	}
}

// Decisions: another user's order and an absent one look the same.
func TestOthersOrdersAreAbsent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	alices, deleted := b.place(b.alice, basket("A", 1)), b.place(b.bob, basket("A", 1))
	b.exec(`update orders set deleted_at = now() where id = $1`, deleted.ID)

	for name, id := range map[string]uuid.UUID{"other's": alices.ID, "absent": uuid.New(), "deleted": deleted.ID} {
		_, get := b.Get(b.ctx, b.bob, id)
		_, history := b.History(b.ctx, b.bob, id)
		_, cancel := b.Cancel(b.ctx, b.bob, id, nil, nil, idempotency.Key[orders.Order]{})
		for _, err := range []error{get, history, cancel} {
			if err == nil || err.Error() != fault.NotFound("order").Error() {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// C9: If-Match is honoured, and checked in the transaction that writes.
func TestCancelIfMatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	o := b.processed(b.alice, basket("A", 1))

	_, stale := b.Cancel(b.ctx, b.admin, o.ID, nil, web.IfMatch{1}, idempotency.Key[orders.Order]{})
	_, fresh := b.Cancel(b.ctx, b.admin, o.ID, nil, web.IfMatch{5}, idempotency.Key[orders.Order]{})

	if f, _ := fault.As(stale); f == nil || f.Kind != fault.KindPreconditionFailed {
		t.Errorf("stale: %v", stale)
	}
	if fresh != nil {
		t.Errorf("fresh: %v", fresh)
	}
}

// C3 on an act: the refusal of the first is kept, with its code and members.
func TestCancelReplays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	o := b.processed(b.alice, basket("A", 1))
	k := key(b.alice, "k", "body")

	b.exec(`update orders set status = 'COMPLETED' where id = $1`, o.ID)
	_, first := b.Cancel(b.ctx, b.alice, o.ID, nil, nil, k)
	b.exec(`update orders set status = 'PROCESSING' where id = $1`, o.ID) // which no order becomes; now it would be answered 200
	_, again := b.Cancel(b.ctx, b.alice, o.ID, nil, nil, k)

	f, _ := fault.As(again)
	if first == nil || f == nil || f.Code != "illegal-transition" || !f.Replayed || f.Extra["from"] != "COMPLETED" {
		t.Errorf("first %v, again %+v", first, f)
	}
}

// SPEC C3: a conflict with a state that moves is not stored: when the state has moved, the same request is
// carried out.
func TestMovingConflictsAreNotStored_C3(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	o := b.processed(b.alice, basket("A", 1))
	k := key(b.admin, "k", "body")
	refund := func() error {
		_, err := b.Refund(b.ctx, b.admin, o.ID, euro(1), nil, nil, "why", idempotency.Key[settlement.Refund]{Request: k.Request})
		return err
	}
	if err := refund(); !fault.Is(err, "nothing-captured") {
		t.Fatal(err)
	}
	b.ship(o.ID)
	b.turn(o.ID)
	if err := refund(); err != nil {
		t.Errorf("refund after the capture: %v", err)
	}

	stale := key(b.admin, "stale", "body")
	if _, err := b.Hold(b.ctx, b.admin, o.ID, "why", web.IfMatch{1}, stale); !fault.Is(err, "stale") {
		t.Fatal(err)
	}
	if _, err := b.Hold(b.ctx, b.admin, o.ID, "why", nil, stale); !fault.Is(err, "illegal-transition") {
		t.Errorf("the 412 was stored: %v", err)
	}
}

// SPEC C7: CANCEL_UNTIL=processing ends the time in which owners cancel; not that of administrators.
func TestCancelUntilProcessing_C24(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.OwnerCancelsUntil = lifecycle.Processing
	b.products(map[string]int64{"A": -1})
	pending, o := b.place(b.alice, basket("A", 1)), b.processed(b.alice, basket("A", 1))

	if got, err := b.Get(b.ctx, b.alice, o.ID); err != nil || len(got.AllowedActions) != 0 {
		t.Errorf("allowed %v, %v", got.AllowedActions, err)
	}
	if _, err := b.Cancel(b.ctx, b.alice, o.ID, nil, nil, idempotency.Key[orders.Order]{}); !fault.Is(err, "illegal-transition") {
		t.Errorf("cancelled while PROCESSING: %v", err)
	}
	b.cancel(b.alice, pending.ID)
	b.cancel(b.admin, o.ID)
}

// B4 under races: advancing and cancelling at once, stock ends where it began.
func TestCancelRacesAdvance(t *testing.T) {
	t.Parallel()
	one := setup(t)
	two := node(t, one.url)
	one.products(map[string]int64{"A": 1000})

	var all sync.WaitGroup
	for range 40 {
		o := one.place(one.alice, basket("A", 1))
		all.Go(func() {
			if err := one.Advance(one.ctx, o.ID); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := two.Cancel(two.ctx, one.admin, o.ID, nil, nil, idempotency.Key[orders.Order]{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	if n := one.count(`select reserved from products`); n != 0 {
		t.Errorf("%d still reserved", n)
	}
	if n := one.count(`select count(*) from orders where status <> 'CANCELLED'`); n != 0 {
		t.Errorf("%d orders are not cancelled", n)
	}
}
