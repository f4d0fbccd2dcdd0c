package simulated_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
)

// plan is one of many calls, with a start time and a short timeout.
type plan struct {
	call             string
	payment, refund  int
	known            bool // a void that knows the reference
	begins, patience time.Duration
}

func plans(r *rapid.T) []plan {
	list := make([]plan, rapid.IntRange(1, 60).Draw(r, "calls"))
	ms := func(name string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(r, name)) * time.Millisecond
	}
	for i := range list {
		list[i] = plan{
			call:    rapid.SampledFrom([]string{simulated.Authorize, simulated.Authorize, simulated.Capture, simulated.Void, simulated.Refund}).Draw(r, "call"),
			payment: rapid.IntRange(0, 2).Draw(r, "payment"), refund: rapid.IntRange(0, 3).Draw(r, "refund"),
			known: rapid.Bool().Draw(r, "known"), begins: ms("begins", 20), patience: 1 + ms("patience", 20),
		}
	}
	return list
}

// SPEC D3: for any calls, in any number and order and concurrently, with lost, late and refused
// responses: each key moves money at most once, all responses to a key agree, and no payment pays
// out more than its amount.
func TestEveryKeyOnceAndMoneyConserved_D3(t *testing.T) {
	t.Parallel()
	const price = 100
	rapid.Check(t, func(r *rapid.T) {
		list := plans(r)
		faults := rapid.SliceOfN(rapid.SampledFrom([]simulated.Fault{
			{}, {}, {Err: errLost}, {Lost: true, Err: errLost}, {Hang: true}, {Lost: true, Hang: true}, {Delay: 3 * time.Millisecond},
		}), 16, 16).Draw(r, "faults")
		attempts := make([]payments.Authorization, 3)
		references := make([]string, 3)
		for i := range attempts {
			attempts[i] = paying(price, rapid.SampledFrom([]string{"", "", "pm_card_chargeDeclined", "pm_sim_captureFails", "pm_sim_voidFails"}).Draw(r, "method"))
			attempts[i].Key = fmt.Sprint("a", i) // so that a failure is the same when it is run again
			attempts[i].OrderID = uuid.UUID{byte(i)}
			if reference, err := simulated.NewBank(simulated.Options{}).Authorize(t.Context(), attempts[i]); err == nil {
				references[i] = reference
			}
		}
		b := simulated.NewBank(simulated.Options{Script: func(call, key string, n int) error {
			return faults[(len(call)+len(key)+int(key[len(key)-1])+n)%len(faults)]
		}})

		var mu sync.Mutex
		answers := map[string]string{}
		synctest.Test(t, func(*testing.T) {
			var all sync.WaitGroup
			for _, p := range list {
				all.Go(func() {
					<-time.After(p.begins)
					ctx, cancel := context.WithTimeout(context.Background(), p.patience)
					defer cancel()
					key, answer := do(ctx, b, p, attempts[p.payment], references[p.payment])
					mu.Lock()
					defer mu.Unlock()
					before, answered := answers[key]
					// A void takes back what was granted; every other answer stands.
					if answered && before != answer && answer != "retry" && answer != "declined voided" && before != "declined voided" {
						r.Errorf("%s: %s, then %s", key, before, answer)
					}
					if answer != "retry" {
						answers[key] = answer
					}
				})
			}
			all.Wait()
		})

		conserved(r, b.Effects(), price)
		for key, answer := range answers {
			relied(r, b.Effects(), key, answer)
		}
	})
}

var errLost = errors.New("lost")

func do(ctx context.Context, b *simulated.Bank, p plan, a payments.Authorization, reference string) (key, answer string) {
	if reference == "" || p.call == simulated.Authorize {
		got, err := b.Authorize(ctx, a)
		if err == nil {
			return a.Key, "ok " + got
		}
		return a.Key, outcome(err)
	}
	switch p.call {
	case simulated.Capture:
		key = a.Key + ":capture"
		return key, outcome(b.Capture(ctx, payments.Capture{Key: key, Reference: reference, Amount: a.Amount}))
	case simulated.Void:
		v := payments.Void{Key: a.Key + ":void", Of: a}
		if p.known {
			v.Reference = reference
		}
		return v.Key, outcome(b.Void(ctx, v))
	default:
		f := payments.Refund{Key: fmt.Sprint(a.Key, ":refund", p.refund), Reference: reference, Amount: eur(int64(30 + 10*p.refund))}
		_, err := b.Refund(ctx, f)
		return f.Key, outcome(err)
	}
}

func conserved(r *rapid.T, effects []simulated.Effect, price int64) {
	once := map[string]bool{}
	sums := map[string]map[string]int64{} // by payment and kind
	for _, e := range effects {
		if once[e.Key] {
			r.Errorf("%s moved money twice", e.Key)
		}
		once[e.Key] = true
		if sums[e.Reference] == nil {
			sums[e.Reference] = map[string]int64{}
		}
		sums[e.Reference][e.Kind] += e.Amount.Amount
	}
	for reference, s := range sums {
		// A payment whose authorisation never came counts as made before the bank was.
		if s["authorize"] > price || s["capture"]+s["void"] > price || s["void"] > 0 && s["refund"] > 0 || s["refund"] > price {
			r.Errorf("%s: %v", reference, s)
		}
	}
}

// relied checks that a call with the response "ok" has had its effect.
func relied(r *rapid.T, effects []simulated.Effect, key, answer string) {
	reference, authorized := strings.CutPrefix(answer, "ok ")
	switch {
	case strings.HasSuffix(key, ":void"): // there may have been nothing to void
		return
	case answer != "ok" && !authorized:
		return
	}
	for _, e := range effects {
		// A reference that was captured or voided first was authorised before the bank was.
		if e.Key == key || authorized && e.Reference == reference {
			return
		}
	}
	r.Errorf("%s was answered %s and moved nothing", key, answer)
}
