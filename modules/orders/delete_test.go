package orders_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// C8: an open order is cancelled before it is deleted. Its stock is released and its payment
// voided, although the order is no longer visible.
func TestDelete(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000, "NONE": 0})
	after := func(acts ...func(uuid.UUID)) func() uuid.UUID {
		return func() uuid.UUID {
			id := b.place(b.alice, basket("A", 2)).ID
			b.settle()
			for _, act := range acts {
				act(id)
			}
			b.settle()
			return id
		}
	}
	to := func(s lifecycle.Status) func(uuid.UUID) { return func(id uuid.UUID) { b.must(b.move(id, s)) } }
	rows := map[string]struct {
		id      func() uuid.UUID
		history string // from its end
		payment string
	}{
		"pending":    {func() uuid.UUID { return b.place(b.alice, basket("A", 2)).ID }, "order.created order.cancelled order.deleted", "NONE"},
		"processing": {after(), "order.processing stock.released order.cancelled order.deleted payment.voided", "VOIDED"},
		"on hold":    {after(to(lifecycle.OnHold)), "order.held stock.released order.cancelled order.deleted payment.voided", "VOIDED"},
		"cancelled":  {after(to(lifecycle.Cancelled)), "order.cancelled payment.voided order.deleted", "VOIDED"},
		"completed":  {after(to(lifecycle.Completed)), "order.completed payment.captured order.deleted", "CAPTURED"},
		"failed":     {func() uuid.UUID { return b.processed(b.alice, basket("NONE", 1)).ID }, "order.created order.failed order.deleted", "NONE"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			id := row.id()

			err := b.Delete(b.ctx, b.admin, id, nil)
			b.settle()

			if err != nil {
				t.Error(err)
			}
			if got := b.types(id); !strings.HasSuffix(got, row.history) {
				t.Errorf("history is %s", got)
			}
			n := b.count(`select count(*) from orders where id = $1 and payment_status = $2 and deleted_at is not null and due_at is null`, id, row.payment)
			if n != 1 {
				t.Errorf("the money is not %s", row.payment)
			}
			b.expectGone(t, id)
		})
	}
	if n := b.count(`select sum(reserved) from products`); n != 0 {
		t.Errorf("%d units reserved", n)
	}
	b.audit(t)
}

// expectGone checks that an order is absent for all callers and on all routes.
func (b *bundle) expectGone(t *testing.T, id uuid.UUID) {
	t.Helper()
	for _, who := range []identity.Caller{b.alice, b.admin} {
		_, get := b.Get(b.ctx, who, id)
		_, history := b.History(b.ctx, who, id)
		_, cancel := b.Cancel(b.ctx, who, id, nil, nil, idempotency.Key[orders.Order]{})
		_, hold := b.Hold(b.ctx, who, id, "because", nil, idempotency.Key[orders.Order]{})
		_, refund := b.Refund(b.ctx, who, id, euro(1), nil, nil, "because", idempotency.Key[settlement.Refund]{})
		again := b.Delete(b.ctx, who, id, nil)
		for _, err := range []error{get, history, cancel, hold, refund, again, b.Visible(b.ctx, who, id)} {
			refused(t, err, "not-found")
		}
		list, _, err := b.List(b.ctx, who, orders.Filter{Limit: 100})
		if err != nil {
			t.Error(err)
		}
		for _, o := range list {
			if o.ID == id {
				t.Error("it is listed")
			}
		}
	}
}

// C8: what is with the carrier cannot be cancelled, and so not deleted.
func TestShippedIsNotDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	id := b.shipped(basket("A", 1)).ID
	before := b.get(id)

	err := b.Delete(b.ctx, b.admin, id, nil)
	stale := b.Delete(b.ctx, b.admin, id, web.IfMatch{1})

	refused(t, err, "illegal-transition")
	refused(t, stale, "stale")
	if after := b.get(id); after.Version != before.Version {
		t.Errorf("%+v became %+v", before, after)
	}
}
