package orders_test

import (
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// What an administrator does to an order. These must work; what is to be refused
// is called by its own name.

func (b *bundle) move(id uuid.UUID, to lifecycle.Status) error {
	_, err := b.SetStatus(b.ctx, b.admin, id, orders.StatusChangeRequest{Status: to, Reason: new("because")}, nil)
	return err
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) ship(id uuid.UUID) { b.t.Helper(); b.must(b.move(id, lifecycle.Shipped)) }

// shipped takes an order to SHIPPED with its money captured.
func (b *bundle) shipped(w orders.OrderRequest) orders.Order {
	b.t.Helper()
	o := b.processed(b.alice, w)
	b.ship(o.ID)
	b.turn(o.ID)
	return o
}

func euro(amount int64) *money.Money { return &money.Money{Amount: amount, Currency: "EUR"} }

func (b *bundle) tryRefund(id uuid.UUID, amount int64) (payments.RefundResponse, error) {
	b.t.Helper()
	return b.refundOf(b.Refund(b.ctx, b.admin, id, euro(amount), nil, nil, "broken", idempotency.Key[settlement.Refund]{}))
}

func (b *bundle) refund(id uuid.UUID, amount int64) payments.RefundResponse {
	b.t.Helper()
	r, err := b.tryRefund(id, amount)
	b.must(err)
	return r
}

func (b *bundle) refundOf(r idempotency.Result[settlement.Refund], err error) (payments.RefundResponse, error) {
	b.t.Helper()
	refunded, _ := r.Value.(payments.RefundResponse)
	return refunded, err
}

// expire makes an order's reservation run out now.
func (b *bundle) expire(id uuid.UUID) {
	b.t.Helper()
	b.exec(`update orders set reserved_until = now() - interval '1 s' where id = $1`, id)
	_, err := b.ExpireOnce(b.ctx)
	b.must(err)
}

// giveUp does what a worker does when it is out of tries.
func (b *bundle) giveUp(id uuid.UUID) {
	b.t.Helper()
	b.must(orders.GiveUp(b.Module)(b.ctx, id, errLine))
}

func (b *bundle) get(id uuid.UUID) orders.Order {
	b.t.Helper()
	o, err := b.Get(b.ctx, b.admin, id)
	b.must(err)
	return o
}
