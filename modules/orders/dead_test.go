package orders_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
)

func (b *bundle) letters(f orders.DeadLetterQuery) []orders.DeadLetter {
	b.t.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	list, err := b.DeadLetters(b.ctx, f)
	b.must(err)
	return list
}

// letterOf is the one open dead letter of an order.
func (b *bundle) letterOf(id uuid.UUID) orders.DeadLetter {
	b.t.Helper()
	list := b.letters(orders.DeadLetterQuery{Orders: []uuid.UUID{id}})
	if len(list) != 1 {
		b.t.Fatalf("%d dead letters", len(list))
	}
	return list[0]
}

func (b *bundle) resolve(id uuid.UUID, how string) error {
	b.t.Helper()
	_, err := b.Resolve(b.ctx, b.admin, b.letterOf(id).ID, how, new("a person said so"), idempotency.Key[orders.Order]{})
	return err
}

// last is an order's newest event.
func (b *bundle) last(id uuid.UUID) (kind, actor string, d orders.Data) {
	b.t.Helper()
	list, err := b.log.History(b.ctx, id)
	b.must(err)
	e := list[len(list)-1]
	b.must(json.Unmarshal(e.Data, &d))
	return e.Type, string(e.Actor), d
}

// D4: each step's dead letter, tried again: what failed is done, and the history
// tells who wanted it.
func TestRetry(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		said string // by the retry
		end  string // paymentStatus
	}{
		"reserve": {"order.reopened", "AUTHORIZED"}, "authorize": {"order.reopened", "AUTHORIZED"},
		"capture": {"order.retried", "CAPTURED"}, "void": {"order.retried", "VOIDED"}, "refund": {"order.retried", "REFUNDED"},
	}
	for step, row := range rows {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			out := &outage{call: step}
			b := scripted(t, simulated.Options{Script: out.script})
			b.products(map[string]int64{"A": 10})
			var id uuid.UUID
			if step == "reserve" {
				id = b.place(b.alice, basket("A", 1)).ID
				b.giveUp(id)
			} else {
				id = b.upTo(step).ID
			}
			b.settle()
			letter := b.letterOf(id)

			out.over.Store(true)
			b.must(b.resolve(id, "retry"))
			kind, actor, d := b.last(id)
			b.settle()

			if kind != row.said || actor != string(b.admin.Actor()) || step != "reserve" && step != "authorize" && d.Cause != step {
				t.Errorf("the retry is %s by %s: %+v", kind, actor, d)
			}
			if got := b.get(id); got.PaymentStatus != row.end || got.Stalled != nil {
				t.Errorf("order is %+v", got)
			}
			closed := b.letters(orders.DeadLetterQuery{IDs: []uuid.UUID{letter.ID}, Resolved: true})
			if len(closed) != 1 || *closed[0].Resolution != "retried" || *closed[0].ResolvedBy != string(b.admin.Actor()) || closed[0].ResolvedAt == nil {
				t.Errorf("dead letter is %+v", closed)
			}
			b.audit(t)
		})
	}
}

// D4: a step that is skipped stays undone, for good.
func TestSkip(t *testing.T) {
	t.Parallel()
	for step, end := range map[string]string{"authorize": "VOIDED", "capture": "AUTHORIZED", "void": "AUTHORIZED", "refund": "REFUND_FAILED"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			out := &outage{call: step}
			b := scripted(t, simulated.Options{Script: out.script})
			b.products(map[string]int64{"A": 10})
			id := b.upTo(step).ID
			b.settle()
			letter, before := b.letterOf(id), b.effects()

			out.over.Store(true)
			b.must(b.resolve(id, "skip"))
			kind, actor, d := b.last(id)
			b.must(b.Advance(b.ctx, id))
			b.settle()

			if kind != "order.skipped" || actor != string(b.admin.Actor()) || d.Cause != step || *d.Reason != "a person said so" {
				t.Errorf("the skip is %s by %s: %+v", kind, actor, d)
			}
			if got := b.get(id); got.PaymentStatus != end || got.Stalled != nil || got.Refunding.Amount != 0 {
				t.Errorf("order is %+v", got)
			}
			if did := b.effects(); did[step] != before[step] {
				t.Errorf("the bank did %v, before %v", did, before)
			}
			closed := b.letters(orders.DeadLetterQuery{IDs: []uuid.UUID{letter.ID}, Resolved: true})
			if len(closed) != 1 || *closed[0].Resolution != "skipped" || *closed[0].Reason != "a person said so" {
				t.Errorf("dead letter is %+v", closed)
			}
			b.audit(t)
		})
	}
}

// D4: a call that succeeds after its step was skipped counts all the same.
func TestSkipWhileUnderWay(t *testing.T) {
	t.Parallel()
	for step, end := range map[string]string{"capture": "CAPTURED", "void": "VOIDED", "refund": "REFUNDED"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.products(map[string]int64{"A": 10})
			bothWays(t, func(t *testing.T, answered bool) {
				id := b.upTo(step).ID

				b.inFlight(id, step, answered, func() {
					b.giveUp(id)
					b.must(b.resolve(id, "skip"))
				})

				if got := b.get(id); got.PaymentStatus != end || got.Stalled != nil {
					t.Errorf("order is %+v", got)
				}
				b.audit(t)
			})
		})
	}
}

// D4: cancel, where the order may be cancelled.
func TestCancelByDeadLetter(t *testing.T) {
	t.Parallel()
	b := scripted(t, simulated.Options{Script: func(call, _ string, _ int) error {
		if call != "authorize" {
			return errLine
		}
		return nil
	}})
	b.products(map[string]int64{"A": 100})
	captured := b.upTo("capture")
	voided, unconfirmed := b.upTo("void"), b.place(b.alice, basket("A", 1))
	b.settle()
	b.exec(`update orders set status = 'CONFIRMED', due_at = now() where id = $1`, unconfirmed.ID)
	b.giveUp(unconfirmed.ID)

	b.must(b.resolve(unconfirmed.ID, "cancel"))
	shipped := b.resolve(captured.ID, "cancel")
	cancelled := b.resolve(voided.ID, "cancel")

	if got := b.get(unconfirmed.ID); got.Status != lifecycle.Cancelled || got.Stalled != nil {
		t.Errorf("order is %+v", got)
	}
	for _, err := range []error{shipped, cancelled} { // nothing to cancel: it must not look done
		refused(t, err, "illegal-transition")
	}
	b.letterOf(captured.ID)
	b.letterOf(voided.ID)
	b.audit(t, unconfirmed.ID)
}

// D4: every kind of dead letter is resolved once, by a named administrator.
func TestResolveOnce(t *testing.T) {
	t.Parallel()
	b := scripted(t, simulated.Options{Script: fails("capture", 8, errLine)})
	b.products(map[string]int64{"A": 10})
	id := b.upTo("capture").ID
	b.settle()
	letter := b.letterOf(id).ID
	resolve := func(letter uuid.UUID, how string, k idempotency.Key[orders.Order]) error {
		_, err := b.Resolve(b.ctx, b.admin, letter, how, new("a person said so"), k)
		return err
	}

	b.must(resolve(letter, "retry", key(b.admin, "k", "")))
	b.must(resolve(letter, "retry", key(b.admin, "k", ""))) // C3: the answer of the first
	again := resolve(letter, "skip", idempotency.Key[orders.Order]{})
	absent := resolve(uuid.New(), "retry", idempotency.Key[orders.Order]{})

	refused(t, again, "resolved")
	refused(t, absent, "not-found")
	if n := strings.Count(b.types(id), "order.retried"); n != 1 {
		t.Errorf("retried %d times", n)
	}
	b.settle()
	b.audit(t)
}

// C8, D4: an order that is deleted may still stall, and a person must be able to
// deal with it.
func TestDeadLetterOfADeletedOrder(t *testing.T) {
	t.Parallel()
	out := &outage{call: "void"}
	b := scripted(t, simulated.Options{Script: out.script})
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, basket("A", 1)).ID
	b.settle()
	b.must(b.Delete(b.ctx, b.admin, id, nil))
	b.settle()
	out.over.Store(true)

	b.must(b.resolve(id, "retry"))
	b.settle()

	if did := b.effects(); did["void"] != 1 {
		t.Errorf("the bank did %v", did)
	}
	if n := len(b.letters(orders.DeadLetterQuery{})); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	b.audit(t)
}

// C8: but it does not begin anew.
func TestADeletedOrderIsNotReopened(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, basket("A", 1)).ID
	b.giveUp(id)
	b.must(b.Delete(b.ctx, b.admin, id, nil))

	retried := b.resolve(id, "retry")
	b.must(b.resolve(id, "skip"))

	refused(t, retried, "order-deleted")
	b.settle()
	b.audit(t)
}

// D4: two jobs of one order that give up the same step leave one dead letter.
func TestOneDeadLetterForAStep(t *testing.T) {
	t.Parallel()
	b := scripted(t, simulated.Options{Script: fails("capture", 16, errLine)})
	b.products(map[string]int64{"A": 10})
	id := b.upTo("capture").ID
	b.must(b.move(id, lifecycle.Completed)) // a job more

	b.settle()

	b.letterOf(id)
	if n := strings.Count(b.types(id), "order.stalled"); n != 1 {
		t.Errorf("stalled %d times", n)
	}
	b.must(b.resolve(id, "retry"))
	b.settle()
	if got := b.get(id); got.PaymentStatus != "CAPTURED" {
		t.Errorf("order is %+v", got)
	}
	b.audit(t)
}

// D4: a rejected refund tells why.
func TestRejectedRefund(t *testing.T) {
	t.Parallel()
	disputed := true
	b := scripted(t, simulated.Options{Script: func(call, _ string, _ int) error {
		if call == "refund" && disputed {
			return &payments.Rejected{Code: "charge-disputed", Detail: "No."}
		}
		return nil
	}})
	b.products(map[string]int64{"A": 10})
	id := b.upTo("refund").ID
	b.settle()

	if n := b.count(`select count(*) from refunds where state = 'failed' and code = 'charge-disputed' and detail = 'No.'`); n != 1 {
		t.Error("the code is not kept")
	}
	disputed = false
	if _, err := b.tryRefund(id, 100); err != nil { // C8: a failed one counts for nothing
		t.Error(err)
	}
	b.settle()
	// There is no room left for the first: the letter is dealt with, and nothing more goes back.
	b.must(b.resolve(id, "retry"))
	b.settle()
	if got := b.get(id); got.Refunded.Amount != 100 || got.Stalled != nil {
		t.Errorf("order is %+v", got)
	}
	if _, told := fault.As(b.Visible(b.ctx, b.alice, id)); told {
		t.Error("not visible")
	}
	b.audit(t)
}

// D4: an order that stalled as CONFIRMED, as earlier versions and a hold could leave
// it, and goes on after all has no dead letter any more.
func TestGoesOnAfterStalling(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10})
	id := b.place(b.alice, basket("A", 1)).ID
	b.settle()
	b.exec(`update orders set status = 'CONFIRMED', due_at = now() where id = $1`, id)
	b.giveUp(id)
	stalled := b.get(id)

	b.turn(id)

	if got := b.get(id); *stalled.Stalled != "process" || got.Status != lifecycle.Processing || got.Stalled != nil {
		t.Errorf("order is %+v", got)
	}
	list := b.letters(orders.DeadLetterQuery{Resolved: true})
	if len(list) != 1 || *list[0].Resolution != "superseded" || *list[0].ResolvedBy != "system" {
		t.Errorf("dead letters %+v", list)
	}
	b.audit(t, id)
}
