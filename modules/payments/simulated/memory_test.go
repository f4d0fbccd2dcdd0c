package simulated

import (
	"fmt"
	"sync"
	"testing"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Under load, the bank keeps no memory of a payment without faults, in any of its final states.
func TestKeepsNothing(t *testing.T) {
	t.Parallel()
	ctx, amount := t.Context(), money.Money{Amount: 100, Currency: "EUR"}
	b := NewBank(Options{})
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			key := fmt.Sprint(n / 2) // each is asked by two at once
			reference, err := b.Authorize(ctx, payments.Authorization{Key: key, Amount: amount})
			if err == nil {
				err = b.Capture(ctx, payments.Capture{Key: key + "c", Reference: reference, Amount: amount})
			}
			if err == nil {
				_, err = b.Refund(ctx, payments.Refund{Key: key + "r", Reference: reference, Amount: amount})
			}
			if err != nil {
				t.Error(err)
			}
			if _, err := b.Authorize(ctx, payments.Authorization{Key: key + "d", Amount: amount, Method: card + "chargeDeclined"}); err == nil {
				t.Error("not declined")
			}
		})
	}
	all.Wait()

	b.all.Range(func(id, _ any) bool { t.Errorf("%s is remembered", id); return true })
	b.keys.Range(func(key, _ any) bool { t.Errorf("%s is remembered", key); return true })
	if n := b.kept.Len() + len(b.Effects()); n != 0 {
		t.Errorf("%d are kept", n)
	}
}

// What misbehaves or was voided is kept, up to a limit.
func TestKeepsWhatMatters(t *testing.T) {
	t.Parallel()
	b := NewBank(Options{})
	b.kept.Resize(10)
	for n := range 30 {
		a := payments.Authorization{Key: fmt.Sprint(n), Amount: money.Money{Amount: 100, Currency: "EUR"}}
		if err := b.Void(t.Context(), payments.Void{Key: a.Key + "v", Of: a}); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.kept.Len(); n != 10 {
		t.Errorf("%d are kept", n)
	}
}
