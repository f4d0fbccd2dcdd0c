package orders_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
)

// SPEC C8: an order that failed for any reason can be reopened, is paid by a new payment and is
// shipped. The bank captures the money once.
func TestReopen(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(b *bundle, decline *outage) uuid.UUID{
		"declined": func(b *bundle, _ *outage) uuid.UUID {
			return b.place(b.alice, basket("A", 2)).ID
		},
		"out of stock": func(b *bundle, d *outage) uuid.UUID {
			d.over.Store(true)
			b.exec(`update products set stock = 0`)
			return b.place(b.alice, basket("A", 2)).ID
		},
		"expired": func(b *bundle, d *outage) uuid.UUID {
			d.over.Store(true)
			id := b.place(b.alice, basket("A", 2)).ID
			b.inFlight(id, "authorize", true, func() { b.expire(id) })
			return id
		},
		"given up": func(b *bundle, d *outage) uuid.UUID {
			d.over.Store(true)
			id := b.place(b.alice, basket("A", 2)).ID
			b.giveUp(id)
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			declines := &outage{call: "authorize"}
			b := scripted(t, simulated.Options{Script: func(call, key string, n int) error {
				if declines.script(call, key, n) != nil {
					return &payments.Declined{Code: "generic-decline", Detail: "No."}
				}
				return nil
			}})
			b.products(map[string]int64{"A": 10})
			id := fail(b, declines)
			b.settle()
			failed := b.get(id)
			declines.over.Store(true)
			b.exec(`update products set stock = 10`)

			reopenErr := b.move(id, lifecycle.Pending)
			reopened := b.get(id)
			b.settle()
			b.ship(id)
			b.settle()

			if failed.Status != lifecycle.Failed || !slices.Contains(failed.AllowedActions, "reopen") || reopenErr != nil {
				t.Errorf("failed %+v, reopened %v", failed, reopenErr)
			}
			if reopened.Status != lifecycle.Pending || reopened.Failure != nil || reopened.PaymentStatus != "NONE" || reopened.Stalled != nil {
				t.Errorf("reopened %+v", reopened)
			}
			if got := b.get(id); got.Status != lifecycle.Shipped || got.Captured.Amount != 200 {
				t.Errorf("order is %+v", got)
			}
			const rest = " order.reopened stock.reserved payment.authorized order.confirmed order.processing order.shipped payment.captured"
			if got := b.types(id); !strings.HasSuffix(got, rest) {
				t.Errorf("history is %s", got)
			}
			if did := b.effects(); did["capture"] != 1 || did["authorize"]-did["void"] != 1 {
				t.Errorf("the bank did %v", did)
			}
			b.exec(`update products set stock = (select sum(delta) from movements)`) // what this test gave and took
			b.audit(t)
		})
	}
}

// C8: not before the money of the last try has come to its end. Otherwise its
// answer would be taken for the new one's.
func TestReopenWhileVoiding(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, basket("A", 2)).ID
	asked := false

	b.over(line{
		after: first("authorize", func() { b.expire(id) }),
		before: first("void", func() {
			asked = true
			refused(t, b.move(id, lifecycle.Pending), "payment-unsettled")
			if got := b.get(id); slices.Contains(got.AllowedActions, "reopen") {
				t.Error("it is offered")
			}
		}),
	}).turn(id)

	if !asked {
		t.Error("nothing was voided")
	}
	b.must(b.move(id, lifecycle.Pending))
	b.settle()
	b.audit(t)
}

// C8, D4: when the void gave up, the last try's money is not settled either: the
// late answer of its authorisation would pay for the new one.
func TestReopenAfterTheVoidGaveUp(t *testing.T) {
	t.Parallel()
	out := &outage{call: "void"}
	b := scripted(t, simulated.Options{Script: out.script})
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, basket("A", 2)).ID

	b.inFlight(id, "authorize", false, func() {
		b.expire(id)
		b.settle() // the void gives up
		if got := b.get(id); got.Stalled == nil || *got.Stalled != "void" || slices.Contains(got.AllowedActions, "reopen") {
			t.Errorf("order is %+v", got)
		}
		refused(t, b.move(id, lifecycle.Pending), "payment-unsettled")
	})
	out.over.Store(true)
	b.must(b.resolve(id, "retry"))
	b.settle()

	if got := b.get(id); got.PaymentStatus != "VOIDED" || got.Stalled != nil {
		t.Errorf("order is %+v", got)
	}
	b.must(b.move(id, lifecycle.Pending))
	b.settle()
	if got := b.get(id); got.Status != lifecycle.Processing {
		t.Errorf("order is %+v", got)
	}
	b.audit(t)
}

// SPEC C8: an order that is held for want of stock goes on when it is released.
func TestReleaseAfterShortage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1})
	w := basket("A", 2)
	w.OnShortage = "hold"
	id := b.place(b.alice, w).ID
	b.settle()

	b.must(b.move(id, lifecycle.Pending))
	b.settle() // still short
	again := b.get(id)
	b.exec(`update products set stock = 2`)
	b.must(b.move(id, lifecycle.Pending))
	b.settle()

	if again.Status != lifecycle.OnHold || b.get(id).Status != lifecycle.Processing {
		t.Errorf("first %s, then %s", again.Status, b.get(id).Status)
	}
	const history = "order.created order.held order.released order.held order.released stock.reserved payment.authorized order.confirmed order.processing"
	if got := b.types(id); got != history {
		t.Errorf("history is %s", got)
	}
}

// C8: an order on hold keeps its stock and its authorisation, and goes on where it was.
func TestHoldKeepsEverything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, basket("A", 2)).ID
	b.settle()

	b.must(b.move(id, lifecycle.OnHold))
	b.settle()
	held := b.get(id)
	b.must(b.move(id, lifecycle.Processing))
	b.settle()

	if held.Status != lifecycle.OnHold || held.PaymentStatus != "AUTHORIZED" || *held.HeldFrom != "PROCESSING" || *held.Reason != "because" {
		t.Errorf("held %+v", held)
	}
	if got := b.get(id); got.Status != lifecycle.Processing || got.HeldFrom != nil || got.Reason != nil {
		t.Errorf("released %+v", got)
	}
	if did := b.effects(); len(did) != 1 || did["authorize"] != 1 {
		t.Errorf("the bank did %v", did)
	}
	b.audit(t)
}
