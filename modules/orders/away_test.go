package orders_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// D4: while the provider is unavailable, jobs are postponed and no attempt is counted; afterwards
// they continue, at every step. Meanwhile reservations still expire (D7).
func TestProviderIsAway(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	b := scripted(t, simulated.Options{Away: func() time.Duration {
		if away.Load() {
			return 20 * time.Millisecond
		}
		return 0
	}})
	b.products(map[string]int64{"A": 100})
	toCapture, toVoid, toRefund := b.processed(b.alice, basket("A", 1)), b.processed(b.alice, basket("A", 1)), b.shipped(basket("A", 1))
	b.settle()
	away.Store(true)
	b.ship(toCapture.ID)
	b.cancel(b.admin, toVoid.ID)
	b.refund(toRefund.ID, 100)
	toAuthorize, toExpire := b.upTo("authorize"), b.upTo("authorize")
	b.work()
	b.hurry()

	const snoozed = `select count(*) = 5 from river_job where (metadata->>'snoozes')::int > 2 and state not in ('completed', 'cancelled', 'discarded')`
	b.until("the jobs do not come back", snoozed)
	if n := b.count(`select count(*) from river_job where attempt > 1 or cardinality(errors) > 0`); n != 0 {
		t.Errorf("%d jobs count their tries", n)
	}
	b.expire(toExpire.ID)
	if got := b.get(toExpire.ID); failureOf(got) != "reservation-expired" {
		t.Errorf("order is %+v", got)
	}
	if n := b.count(`select count(*) from dead_letters`); n != 0 {
		t.Errorf("%d dead letters", n)
	}

	away.Store(false)
	b.quiet()

	for o, want := range map[*orders.Order]string{
		&toAuthorize: "PROCESSING AUTHORIZED", &toExpire: "FAILED VOIDED", &toCapture: "SHIPPED CAPTURED",
		&toVoid: "CANCELLED VOIDED", &toRefund: "SHIPPED REFUNDED",
	} {
		if got := b.get(o.ID); string(got.Status)+" "+got.PaymentStatus != want {
			t.Errorf("%s %s, want %s", got.Status, got.PaymentStatus, want)
		}
	}
	b.audit(t)
}

// D4: the breaker as the product has it. A provider that fails in a row is not asked
// any more; jobs that meet the open breaker wait, and the orders are done when it
// closes. None of them fails.
func TestBreakerOpens(t *testing.T) {
	t.Parallel()
	testwait.RetrySlower(t, time.Second, breakerOpens)
}

func breakerOpens(t *testing.T, pace time.Duration) error {
	t.Helper()
	var broken atomic.Bool
	var asked atomic.Int64
	broken.Store(true)
	opened := make(chan struct{}, 100)
	b := scripted(t, simulated.Options{Script: func(string, string, int) error {
		asked.Add(1)
		if broken.Load() {
			return errLine
		}
		return nil
	}}, guarded(breaker.Options{InARow: 3, Open: pace, OnCallerChange: func(_, _, to string) {
		if to == "open" {
			opened <- struct{}{}
		}
	}}))
	b.products(map[string]int64{"A": 100})
	for range 20 {
		b.place(b.alice, basket("A", 1))
	}

	snoozed := 0
	for _, id := range column[job](b, t, `select id, (args->>'orderId')::uuid from river_job`) {
		if err := orders.Try(b.Module)(b.ctx, id.Order, 1); isSnooze(err) {
			snoozed++
		} else if err == nil {
			t.Error("paid by a broken provider")
		}
	}
	<-opened
	tries := asked.Load()
	broken.Store(false)
	b.work()
	b.hurry()
	b.quiet()

	if tries+int64(snoozed) != 20 {
		t.Errorf("asked %d times, %d jobs snoozed", tries, snoozed)
	}
	if n := b.count(`select count(*) from orders where status = $1 and payment_status = 'AUTHORIZED'`, lifecycle.Processing); n != 20 {
		t.Errorf("%d of 20 orders went through", n)
	}
	if n := b.count(`select count(*) from river_job where attempt >= $1`, queue.MaxAttempts); n != 0 {
		t.Errorf("%d jobs used up their tries", n)
	}
	b.audit(t)
	if snoozed < 8 { // on a slow machine it opens for a probe meanwhile, more than once
		return fmt.Errorf("asked %d times, %d jobs snoozed", tries, snoozed)
	}
	return nil
}

// guarded puts the breaker before the bank.
func guarded(o breaker.Options) option {
	return func(d *orders.Deps) {
		made, _ := banks.Load(d.Pool.Config().ConnString())
		d.Open = with(d.Pool, payments.Guard(made.(*simulated.Bank), o))
	}
}
