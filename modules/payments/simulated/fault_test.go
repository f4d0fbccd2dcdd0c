package simulated_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
)

// SPEC D3: declines on demand, by the method as by the amount, the method first.
func TestDeclines_D3(t *testing.T) {
	t.Parallel()
	rows := []struct {
		method string
		amount int64
		want   string
	}{
		{"", 1250, "ok"},
		{"pm_card_visa", 1250, "ok"},
		{"anything else", 1250, "ok"},
		{"pm_card_chargeDeclined", 1250, "declined generic-decline"},
		{"pm_card_visa_chargeDeclined", 1250, "declined generic-decline"},
		{"pm_card_chargeDeclinedInsufficientFunds", 1250, "declined insufficient-funds"},
		{"pm_card_visa_chargeDeclinedInsufficientFunds", 1250, "declined insufficient-funds"},
		{"pm_card_chargeDeclinedExpiredCard", 1250, "declined expired-card"},
		{"pm_card_authenticationRequired", 1250, "declined authentication-required"},
		{"pm_sim_mistyped", 1250, "declined resource-missing"},
		{"", 400002, "declined generic-decline"},
		{"pm_card_visa", 409995, "declined insufficient-funds"},
		{"pm_card_chargeDeclinedExpiredCard", 409995, "declined expired-card"},
		{"", 400119, "retry"},
		{"", 400500, "retry"},
		{"", 0, "rejected invalid-amount"},
		{"", -1, "rejected invalid-amount"},
	}
	for _, remember := range []bool{false, true} {
		b := simulated.NewBank(simulated.Options{Remember: remember})
		for _, row := range rows {
			_, err := b.Authorize(t.Context(), paying(row.amount, row.method))

			expect(t, fmt.Sprintf("%q of %d", row.method, row.amount), err, row.want)
		}
	}
}

// The first two tries of each call fail, and nothing happens in them.
func TestRetry(t *testing.T) {
	t.Parallel()
	b := simulated.NewBank(simulated.Options{})
	a := paying(100, "pm_sim_retry")
	for i, want := range []string{"retry", "retry", "ok", "ok"} {
		reference, err := b.Authorize(t.Context(), a)
		expect(t, fmt.Sprint("authorize ", i), err, want)
		if i < 2 {
			continue
		}
		err = b.Capture(t.Context(), payments.Capture{Key: a.Key + "c", Reference: reference, Amount: a.Amount})
		expect(t, fmt.Sprint("capture ", i), err, "retry")
	}
}

// A payment that is never authorised can be given up.
func TestDown(t *testing.T) {
	t.Parallel()
	b := simulated.NewBank(simulated.Options{})
	a := paying(100, "pm_sim_down")
	for range 10 {
		_, err := b.Authorize(t.Context(), a)
		expect(t, "authorize", err, "retry")
	}

	err := b.Void(t.Context(), payments.Void{Key: "v", Of: a})

	expect(t, "void", err, "ok")
}

// SPEC D3: the call took effect but its response was lost; a repeat with the same key returns it.
func TestTimeout_D3(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := simulated.NewBank(simulated.Options{Remember: true})
		a := paying(100, "pm_sim_timeout")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()

		_, err := b.Authorize(ctx, a)

		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if n := len(b.Effects()); n != 1 {
			t.Fatalf("%d effects, want 1", n)
		}
		reference := held(t, b, a)
		if n := len(b.Effects()); n != 1 || b.Effects()[0].Reference != reference {
			t.Fatalf("%v", b.Effects())
		}
	})
}

func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := simulated.NewBank(simulated.Options{})
		began := time.Now()

		held(t, b, paying(100, "pm_sim_slow"))

		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v, want 2 s", took)
		}
	})
}

// What a payment is to show later is in its reference, also for a bank that has
// been restarted.
func TestLaterFailures(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"pm_card_visa", "pm_sim_captureFails", "pm_sim_voidFails", "pm_sim_refundFails"} {
		a := paying(100, method)
		reference := held(t, simulated.NewBank(simulated.Options{}), a)
		fate := func(token, code string) string {
			if method == token {
				return "rejected " + code
			}
			return "ok"
		}
		restarted := func() *simulated.Bank { return simulated.NewBank(simulated.Options{}) }

		err := restarted().Capture(t.Context(), payments.Capture{Key: "c", Reference: reference, Amount: a.Amount})
		expect(t, method+" capture", err, fate("pm_sim_captureFails", "capture-failed"))

		err = restarted().Void(t.Context(), payments.Void{Key: "v", Reference: reference, Of: a})
		expect(t, method+" void", err, fate("pm_sim_voidFails", "void-failed"))

		_, err = restarted().Refund(t.Context(), payments.Refund{Key: "r", Reference: reference, Amount: eur(40)})
		expect(t, method+" refund", err, fate("pm_sim_refundFails", "refund-failed"))
	}
}

// A script decides by call, key and try; the journal hears of what happened.
func TestScript(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := paying(100, "")
		var heard []string
		b := simulated.NewBank(simulated.Options{
			Script: func(call, key string, n int) error {
				if call != simulated.Authorize || key != a.Key {
					return errors.New("another call")
				}
				return []error{
					errors.New("no effect"), simulated.Fault{Hang: true}, simulated.Fault{Lost: true, Err: payments.NewAway(time.Minute, nil)},
					simulated.Fault{Delay: time.Hour}, nil,
				}[n-1]
			},
			Journal: func(e simulated.Effect) { heard = append(heard, e.Kind+e.Key) },
		})
		began := time.Now()
		for i, want := range []string{"retry 0", "retry 0", "away 1", "ok 1", "ok 1"} {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			_, err := b.Authorize(ctx, a)
			cancel()
			expect(t, fmt.Sprint("try ", i), err, strings.Fields(want)[0])
			if got := fmt.Sprint(len(heard)); got != strings.Fields(want)[1] {
				t.Errorf("try %d: %s effects, want %s", i, got, want)
			}
		}
		if took := time.Since(began); took != 3*time.Hour {
			t.Errorf("took %v", took)
		}
		if heard[0] != simulated.Authorize+a.Key {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestAway(t *testing.T) {
	t.Parallel()
	wait := time.Minute
	b := simulated.NewBank(simulated.Options{Away: func() time.Duration { return wait }})
	_, err := b.Authorize(t.Context(), paying(1, ""))
	if e, ok := errors.AsType[*payments.Unavailable](err); !ok || e.RetryAfter != time.Minute {
		t.Errorf("got %v", err)
	}
	wait = 0
	held(t, b, paying(1, ""))
}
