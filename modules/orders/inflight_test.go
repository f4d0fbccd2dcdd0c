package orders_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
)

// inFlight works an order's job on a node of its own and does something while the
// call is on its way to the bank, or while the answer is on its way back.
func (b *bundle) inFlight(id uuid.UUID, step string, answered bool, do func()) {
	b.t.Helper()
	l := line{before: first(step, do)}
	if answered {
		l = line{after: first(step, do)}
	}
	b.over(l).turn(id)
}

// bothWays runs a test for a call and for an answer that is on its way.
func bothWays(t *testing.T, test func(t *testing.T, answered bool)) {
	t.Helper()
	for _, answered := range []bool{false, true} {
		t.Run(fmt.Sprintf("answered=%v", answered), func(t *testing.T) { test(t, answered) })
	}
}

// C7, C8, D2, D7: the order comes to an end while its money is being authorised,
// and the void is asked for before or after that is known. The money is let go.
func TestEndsWhileAuthorising(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000})
	acts := map[string]struct {
		do      func(id uuid.UUID)
		status  string
		history string
	}{
		"cancel": {
			do:     func(id uuid.UUID) { b.cancel(b.alice, id) },
			status: "CANCELLED", history: "order.cancelled",
		},
		"delete": {
			do:     func(id uuid.UUID) { b.must(b.Delete(b.ctx, b.admin, id, nil)) },
			status: "CANCELLED", history: "order.cancelled order.deleted",
		},
		"expire":  {do: b.expire, status: "FAILED", history: "order.failed"},
		"give up": {do: b.giveUp, status: "FAILED", history: "order.failed"},
	}
	for name, act := range acts {
		for _, voids := range []string{"before", "after"} {
			t.Run(name+", void "+voids, func(t *testing.T) {
				bothWays(t, func(t *testing.T, answered bool) {
					before := b.effects()
					id := b.place(b.alice, basket("A", 3)).ID

					b.inFlight(id, "authorize", answered, func() {
						act.do(id)
						if voids == "before" {
							b.settle()
						}
					})
					b.settle()

					want := "order.created stock.reserved stock.released " + act.history
					if voids == "after" {
						want += " payment.authorized"
					}
					if got := b.types(id); got != want+" payment.voided" {
						t.Errorf("history is %s", got)
					}
					n := b.count(`select count(*) from orders where id = $1 and status = $2 and payment_status = 'VOIDED' and due_at is null`, id, act.status)
					if n != 1 {
						t.Error("the order is not at its end")
					}
					did := b.effects()
					if held := did["authorize"] - before["authorize"]; held > 1 || did["void"]-before["void"] != held {
						t.Errorf("the bank did %v, before %v", did, before)
					}
				})
			})
		}
	}
	if n := b.count(`select reserved from products`); n != 0 {
		t.Errorf("%d units reserved", n)
	}
	b.audit(t)
}

// C8: an order that is shipped is not to be stopped while its money is taken; it
// may be completed, and the money is taken once.
func TestActsWhileCapturing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000})
	bothWays(t, func(t *testing.T, answered bool) {
		before := b.effects()["capture"]
		id := b.upTo("capture").ID

		b.inFlight(id, "capture", answered, func() {
			refused(t, b.move(id, lifecycle.Cancelled), "illegal-transition")
			refused(t, b.Delete(b.ctx, b.admin, id, nil), "illegal-transition")
			_, err := b.tryRefund(id, 1)
			refused(t, err, "nothing-captured")
			b.must(b.move(id, lifecycle.Completed))
			b.must(b.Delete(b.ctx, b.admin, id, nil))
			b.settle()
		})
		b.settle()

		if got := b.types(id); !strings.HasSuffix(got, " order.shipped order.completed order.deleted payment.captured") {
			t.Errorf("history is %s", got)
		}
		if n := b.effects()["capture"] - before; n != 1 {
			t.Errorf("captured %d times", n)
		}
	})
	b.audit(t)
}

func refused(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

// C7: a second cancel while the money is let go is answered like the first, and a
// failed order is not reopened before that is done.
func TestActsWhileVoiding(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000})
	bothWays(t, func(t *testing.T, answered bool) {
		before := b.effects()["void"]
		cancelled, expired := b.upTo("void").ID, b.place(b.alice, basket("A", 1)).ID
		b.inFlight(expired, "authorize", true, func() { b.expire(expired) })

		b.inFlight(cancelled, "void", answered, func() { b.cancel(b.alice, cancelled) })
		again := b.place(b.alice, basket("A", 1)).ID
		b.inFlight(again, "authorize", false, func() { b.expire(again) })

		b.settle()
		if got := b.types(cancelled); strings.Count(got, "order.cancelled") != 1 || strings.Count(got, "payment.voided") != 1 {
			t.Errorf("history is %s", got)
		}
		if n := b.effects()["void"] - before; n != 3 {
			t.Errorf("%d voids", n)
		}
	})
	b.audit(t)
}

// D4: one worker gives a step up while another one's call succeeds. What succeeded
// counts, and the dead letter closes by itself.
func TestSuccessAfterGivingUp(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		status  string // of the payment, in the end
		history string
	}{
		"capture": {"CAPTURED", "order.shipped order.stalled payment.captured"},
		"void":    {"VOIDED", "order.cancelled order.stalled payment.voided"},
		"refund":  {"REFUNDED", "payment.refund_requested payment.refund_failed order.stalled payment.refunded"},
	}
	for step, row := range rows {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.products(map[string]int64{"A": 1000})
			bothWays(t, func(t *testing.T, answered bool) {
				id := b.upTo(step).ID

				b.inFlight(id, step, answered, func() { b.giveUp(id) })

				got := b.get(id)
				if h := b.types(id); !strings.HasSuffix(h, " "+row.history) || got.PaymentStatus != row.status || got.Stalled != nil {
					t.Errorf("payment %s, stalled %v, history %s", got.PaymentStatus, got.Stalled, h)
				}
				list, err := b.DeadLetters(b.ctx, orders.DeadLetterQuery{Orders: []uuid.UUID{id}, Resolved: true, Limit: 10})
				if err != nil || len(list) != 1 || *list[0].Resolution != "superseded" {
					t.Errorf("dead letters %+v, %v", list, err)
				}
				b.audit(t)
			})
		})
	}
}

// C8: refunds that are asked for while another one is on its way share what is left.
func TestActsWhileRefunding(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000})
	bothWays(t, func(t *testing.T, answered bool) {
		id := b.shipped(basket("A", 2)).ID
		b.refund(id, 150)

		b.inFlight(id, "refund", answered, func() {
			_, err := b.tryRefund(id, 51)
			refused(t, err, "refund-exceeds-captured")
			b.refund(id, 50)
			b.must(b.move(id, lifecycle.Completed))
		})
		b.settle()

		if got := b.get(id); got.PaymentStatus != "REFUNDED" || got.Refunded.Amount != 200 {
			t.Errorf("order is %+v", got)
		}
	})
	b.audit(t)
}

// D2: nothing else can be done to an order while it is being paid for.
func TestRefusedWhileAuthorising(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, basket("A", 1)).ID

	b.inFlight(id, "authorize", false, func() {
		for _, to := range lifecycle.All {
			if to != lifecycle.Cancelled {
				refused(t, b.move(id, to), "illegal-transition")
			}
		}
		_, err := b.Release(b.ctx, b.admin, id, nil, idempotency.Key[orders.Order]{})
		refused(t, err, "illegal-transition")
		_, err = b.tryRefund(id, 1)
		refused(t, err, "nothing-captured")
	})

	if got := b.types(id); got != "order.created stock.reserved payment.authorized order.confirmed order.processing" {
		t.Errorf("history is %s", got)
	}
	b.audit(t)
}

// D4: a worker gives up the call that failed, and not the one that is due next. Another
// worker has made the refund that failed; the next refund has not been attempted yet.
func TestGivesUpWhatFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000})
	id := b.shipped(basket("A", 2)).ID
	one, two := b.refund(id, 50), b.refund(id, 60)
	calls := 0
	other := b.over(line{before: func(string) error {
		if calls++; calls > 1 {
			return errLine
		}
		return nil
	}})
	loser := b.over(line{before: func(string) error {
		if err := other.Advance(b.ctx, id); err == nil { // makes the first refund, fails at the second
			t.Error("both were made")
		}
		return errLine
	}})

	loser.turn(id)

	states := map[string]string{}
	for _, r := range column[attempt](b, t, `select id, state, true from refunds`) {
		states[r.ID.String()] = r.State
	}
	if states[one.ID.String()] != "done" || states[two.ID.String()] != "pending" {
		t.Errorf("refunds are %v", states)
	}
	b.settle()
	if got := b.get(id); got.Refunded.Amount != 110 || got.Stalled != nil {
		t.Errorf("order is %+v", got)
	}
	b.audit(t)
}

// D7, D2: an order that was declined has nothing to expire, though its stock is not
// back yet: it fails of the decline.
func TestDeclinedDoesNotExpire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, paidWith("pm_card_chargeDeclined", basket("A", 1))).ID
	stuck := b.another(func(d *orders.Deps) { d.Stock = stuckStock{d.Stock} })
	if err := stuck.Advance(b.ctx, id); err == nil {
		t.Error("the stock went back")
	}

	b.expire(id)
	waiting := b.get(id)
	b.settle()

	if got := b.get(id); waiting.Status != lifecycle.Pending || failureOf(got) != "payment-declined" || got.PaymentStatus != "DECLINED" {
		t.Errorf("first %s, then %+v", waiting.Status, got)
	}
	b.audit(t)
}
