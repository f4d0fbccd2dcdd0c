package orders_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// with is a basket that pm pays.
func paidWith(method string, w orders.OrderRequest) orders.OrderRequest {
	w.PaymentMethod = &method
	return w
}

// D1, D2, D4: each step on the way to PROCESSING fails for good in turn. Stock and
// money end where they began.
func TestEveryStepFailsForGood(t *testing.T) {
	t.Parallel()
	rejected := &payments.Rejected{Code: "account-closed", Detail: "Ours."}
	rows := map[string]struct {
		wanted        orders.OrderRequest
		script        func(call, key string, n int) error
		with          []option
		status        lifecycle.Status
		code, payment string
		history       string
		letter        string // the step of the dead letter, "" for none
		tries         int64
	}{
		"out of stock": {
			wanted: basket("A", 11), status: lifecycle.Failed, code: "out-of-stock", payment: "NONE",
			history: "order.created order.failed",
		},
		"out of stock, to hold": {
			wanted: orders.OrderRequest{Items: basket("A", 11).Items, OnShortage: "hold"}, status: lifecycle.OnHold, payment: "NONE",
			history: "order.created order.held",
		},
		"declined": {
			wanted: paidWith("pm_card_chargeDeclined", basket("A", 2, "B", 1)), status: lifecycle.Failed, code: "payment-declined", payment: "DECLINED",
			history: "order.created stock.reserved payment.declined stock.released order.failed",
		},
		"authorisation never gets through": {
			wanted: basket("A", 2), script: fails("authorize", 100, errLine), status: lifecycle.Failed, code: "payment-failed", payment: "VOIDED",
			history: "order.created stock.reserved stock.released order.failed payment.voided", letter: "authorize", tries: queue.MaxAttempts,
		},
		"authorisation gets through, its answer never": {
			wanted: basket("A", 2), script: fails("authorize", 100, simulated.Fault{Err: errLine, Lost: true}),
			status: lifecycle.Failed, code: "payment-failed", payment: "VOIDED",
			history: "order.created stock.reserved stock.released order.failed payment.voided", letter: "authorize", tries: queue.MaxAttempts,
		},
		"authorisation is rejected": {
			wanted: basket("A", 2), script: fails("authorize", 100, rejected), status: lifecycle.Failed, code: "payment-failed", payment: "VOIDED",
			history: "order.created stock.reserved stock.released order.failed payment.voided", letter: "authorize", tries: 1,
		},
		"the answer cannot be written down": {
			wanted: basket("A", 2), with: []option{forgets(func(step string) bool { return step == "authorize" })},
			status: lifecycle.Failed, code: "payment-failed", payment: "VOIDED",
			history: "order.created stock.reserved stock.released order.failed payment.voided", letter: "authorize", tries: queue.MaxAttempts,
		},
		"stock cannot be reserved": {
			wanted: basket("A", 2), with: []option{func(d *orders.Deps) { d.Stock = brokenStock{d.Stock} }},
			status: lifecycle.Failed, code: "processing-failed", payment: "NONE",
			history: "order.created order.failed", letter: "reserve", tries: queue.MaxAttempts,
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := scripted(t, simulated.Options{Script: row.script}, row.with...)
			b.products(map[string]int64{"A": 10, "B": -1})
			o := b.place(b.alice, row.wanted)

			b.settle()

			got := b.get(o.ID)
			if code := failureOf(got); got.Status != row.status || code != row.code || got.PaymentStatus != row.payment {
				t.Errorf("%s, failure %q, payment %s", got.Status, code, got.PaymentStatus)
			}
			if h := b.types(o.ID); h != row.history {
				t.Errorf("history is %s", h)
			}
			if n := b.count(`select count(*) from products where reserved <> 0 or stock <> 10`); n != 0 {
				t.Error("the stock is not where it began")
			}
			if did := b.effects(); did["authorize"] != did["void"] || did["authorize"] > 1 || did["capture"] > 0 {
				t.Errorf("the bank did %v", did)
			}
			b.expectLetter(o.ID, row.letter, row.tries)
			b.audit(t)
		})
	}
}

// D4: the same with River itself: eight tries, then a dead letter, and the money
// is let go by a job of its own.
func TestARealWorkerGivesUp(t *testing.T) {
	t.Parallel()
	b := scripted(t, simulated.Options{Script: fails("authorize", 100, errLine)})
	b.products(map[string]int64{"A": 10})
	b.work()
	b.hurry()

	o := b.place(b.alice, basket("A", 2))
	b.await(o.ID, lifecycle.Failed)
	b.quiet()

	if got := b.get(o.ID); got.PaymentStatus != "VOIDED" || failureOf(got) != "payment-failed" {
		t.Errorf("order is %+v", got)
	}
	b.expectLetter(o.ID, "authorize", queue.MaxAttempts)
	b.audit(t)
}

func failureOf(o orders.Order) string {
	if o.Failure == nil {
		return ""
	}
	return o.Failure.Code
}

// expectLetter wants one open dead letter with that step, or none.
func (b *bundle) expectLetter(id uuid.UUID, step string, tries int64) {
	b.t.Helper()
	list, err := b.DeadLetters(b.ctx, orders.DeadLetterQuery{Orders: []uuid.UUID{id}, Limit: 10})
	if err != nil {
		b.t.Fatal(err)
	}
	if step == "" && len(list) == 0 {
		return
	}
	if len(list) != 1 || list[0].Step != step || int64(list[0].Attempts) != tries || list[0].Error == "" {
		b.t.Errorf("dead letters are %+v, want one of %q after %d tries", list, step, tries)
	}
}

// C7, C8, D4: what fails for good behind PROCESSING leaves the order where it is,
// with a dead letter; nothing that was done is undone.
func TestEverySettlementFailsForGood(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		act     func(*bundle, uuid.UUID)
		status  lifecycle.Status
		payment string
		history string
		did     map[string]int
	}{
		"capture": {
			act: (*bundle).ship, status: lifecycle.Shipped, payment: "AUTHORIZED",
			history: "order.shipped order.stalled", did: map[string]int{"authorize": 1},
		},
		"void": {
			act: func(b *bundle, id uuid.UUID) { b.cancel(b.admin, id) }, status: lifecycle.Cancelled, payment: "AUTHORIZED",
			history: "stock.released order.cancelled order.stalled", did: map[string]int{"authorize": 1},
		},
		"refund": {
			act: func(b *bundle, id uuid.UUID) {
				b.ship(id)
				b.settle()
				b.refund(id, 150)
			}, status: lifecycle.Shipped, payment: "REFUND_FAILED",
			history: "order.shipped payment.captured payment.refund_requested payment.refund_failed order.stalled",
			did:     map[string]int{"authorize": 1, "capture": 1},
		},
	}
	for step, row := range rows {
		for kind, cause := range map[string]error{"rejected": &payments.Rejected{Code: "no", Detail: "No."}, "out of tries": errLine} {
			t.Run(step+" "+kind, func(t *testing.T) {
				t.Parallel()
				b := scripted(t, simulated.Options{Script: fails(step, 100, cause)})
				b.products(map[string]int64{"A": 10})
				o := b.place(b.alice, basket("A", 2))
				b.settle()

				row.act(b, o.ID)
				b.settle()

				got := b.get(o.ID)
				if got.Status != row.status || got.PaymentStatus != row.payment || got.Stalled == nil || *got.Stalled != step {
					t.Errorf("order is %+v", got)
				}
				const before = "order.created stock.reserved payment.authorized order.confirmed order.processing "
				if h := b.types(o.ID); h != before+row.history {
					t.Errorf("history is %s", h)
				}
				if did := b.effects(); !maps.Equal(did, row.did) {
					t.Errorf("the bank did %v", did)
				}
				tries := int64(queue.MaxAttempts)
				if !errors.Is(cause, errLine) {
					tries = 1
				}
				b.expectLetter(o.ID, step, tries)
				b.audit(t)
			})
		}
	}
}

// D3: a crash at each point of each call to the bank, and the job runs again.
// In every case, the bank executed each request once.
func TestCrashesChargeOnce(t *testing.T) {
	t.Parallel()
	lost := simulated.Fault{Err: errLine, Lost: true}
	for _, step := range []string{"authorize", "capture", "void", "refund"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			var crash func(call string) error // what the bank makes of its first try, with a call that is to crash
			var forget atomic.Bool
			reached := make(chan struct{}, 1)
			b := scripted(t, simulated.Options{
				Script: func(call, _ string, n int) error {
					if call == step && n == 1 && crash != nil {
						return crash(call)
					}
					return nil
				},
				Journal: func(e simulated.Effect) {
					if e.Kind == step {
						reached <- struct{}{}
					}
				},
			}, forgets(func(s string) bool { return s == step && forget.Swap(false) }))
			b.products(map[string]int64{"A": 1000})
			alive := context.WithoutCancel(b.ctx)

			crashes := map[string]func(id uuid.UUID) error{
				"before the call arrives": func(id uuid.UUID) error {
					crash = func(string) error { return errLine }
					return b.Advance(b.ctx, id)
				},
				"before the answer": func(id uuid.UUID) error {
					crash = func(string) error { return lost }
					err := b.Advance(b.ctx, id)
					<-reached
					return err
				},
				"while the answer is awaited": func(id uuid.UUID) error {
					crash = func(string) error { return simulated.Fault{Lost: true, Hang: true} }
					ctx, kill := context.WithCancel(alive)
					defer kill()
					ended := make(chan error, 1)
					go func() { ended <- b.Advance(ctx, id) }()
					<-reached
					kill()
					return <-ended
				},
				"before the answer is written down": func(id uuid.UUID) error {
					crash = nil
					forget.Store(true)
					err := b.Advance(b.ctx, id)
					<-reached
					return err
				},
			}
			for name, kill := range crashes {
				before := b.effects()[step]
				o := b.upTo(step)

				err := kill(o.ID)

				if err == nil {
					t.Errorf("%s: nothing crashed", name)
				}
				crash = nil
				if err := b.Advance(b.ctx, o.ID); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if err := b.Advance(b.ctx, o.ID); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				select {
				case <-reached:
				default:
				}
				if did := b.effects()[step] - before; did != 1 {
					t.Errorf("%s: the bank did it %d times", name, did)
				}
			}
			b.audit(t)
		})
	}
}

// upTo takes an order to the state in which that step is due next.
func (b *bundle) upTo(step string) orders.Order {
	b.t.Helper()
	if step == "authorize" {
		return b.place(b.alice, basket("A", 1))
	}
	o := b.place(b.alice, basket("A", 1))
	b.settle()
	switch step {
	case "capture":
		b.ship(o.ID)
	case "void":
		b.cancel(b.admin, o.ID)
	case "refund":
		b.ship(o.ID)
		b.settle()
		b.refund(o.ID, 100)
	}
	return o
}

// D3: a time-out of a call that was made is no second charge.
func TestTimeOutsChargeOnce(t *testing.T) {
	t.Parallel()
	patience, runsOut := context.WithCancel(t.Context())
	defer runsOut()
	b := scripted(t, simulated.Options{Journal: func(simulated.Effect) { runsOut() }})
	b.products(map[string]int64{"A": 10})
	o := b.place(b.alice, paidWith("pm_sim_timeout", basket("A", 1)))

	err := b.Advance(patience, o.ID)
	b.turn(o.ID)

	if got := b.get(o.ID); err == nil || got.Status != lifecycle.Processing {
		t.Errorf("first %v, then %s", err, got.Status)
	}
	if did := b.effects(); did["authorize"] != 1 {
		t.Errorf("the bank did %v", did)
	}
	b.audit(t)
}

// D1, D3: two nodes that ask the bank the same at the same time, at every step.
func TestTwoNodesChargeOnce(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"authorize", "capture", "void", "refund"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			var together sync.WaitGroup // both are at the bank
			together.Add(2)
			b := scripted(t, simulated.Options{Script: func(call, _ string, _ int) error {
				if call == step {
					together.Done()
					together.Wait()
				}
				return nil
			}})
			two := b.another()
			b.products(map[string]int64{"A": 10})
			o := b.upTo(step)
			before := b.count(`select version from orders`)

			var both sync.WaitGroup
			for _, n := range []*bundle{b, two} {
				both.Go(func() {
					if err := n.Advance(n.ctx, o.ID); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()

			if did := b.effects(); did[step] != 1 {
				t.Errorf("the bank did %v", did)
			}
			news := map[string]int64{"authorize": 4}[step] // reserved, authorised, confirmed, processing
			if now := b.count(`select version from orders`); now != before+max(news, 1) {
				t.Errorf("%d events", now-before)
			}
			b.audit(t)
		})
	}
}

// D6: the sweep finds a pending void or refund whose job is lost.
func TestSweepRepairsLostSettlements(t *testing.T) {
	t.Parallel()
	for step, end := range map[string]string{"authorize": "AUTHORIZED", "capture": "CAPTURED", "void": "VOIDED", "refund": "REFUNDED"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.products(map[string]int64{"A": 10})
			id := b.upTo(step).ID
			b.exec(`delete from river_job`)
			b.exec(`update orders set due_at = now() - interval '1 s'`)

			found, err := b.SweepOnce(b.ctx)
			b.settle()

			if got := b.get(id); err != nil || found != 1 || got.PaymentStatus != end {
				t.Errorf("found %d, %v: %+v", found, err, got)
			}
			b.audit(t)
		})
	}
}
