// Package providertest tests that a payment provider fulfils the contract of payments.Provider.
// Use it for your own providers as well.
package providertest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Check calls every operation of the provider more than once, as happens after a lost response.
// The provider must be able to authorise and refund 12.50 EUR with the payment method
// "pm_card_visa". No authorisation is left open (SPEC D3).
func Check(t *testing.T, p payments.Provider) {
	t.Helper()
	contract{p}.check(t)
}

type contract struct{ payments.Provider }

func (c contract) check(t *testing.T) {
	if c.Name() == "" {
		t.Error("no name")
	}
	t.Run("capture and refund", c.captureAndRefund)
	t.Run("void", c.void)
	t.Run("void without a reference", c.voidWithout)
	t.Run("void before", c.voidBefore)
	t.Run("ended", c.ended)
}

func attempt() payments.Authorization {
	return payments.Authorization{
		Key: uuid.NewString() + ":authorize", OrderID: uuid.New(), Method: "pm_card_visa",
		Amount: money.Money{Amount: 1250, Currency: "EUR"},
	}
}

// twice repeats an authorisation, because any call may be repeated.
func (c contract) twice(t *testing.T, a payments.Authorization) string {
	t.Helper()
	one, err1 := c.Authorize(t.Context(), a)
	two, err2 := c.Authorize(t.Context(), a)
	if err1 != nil || err2 != nil || one == "" || one != two {
		t.Fatalf("authorize: %q %v, then %q %v", one, err1, two, err2)
	}
	return one
}

func (c contract) captureAndRefund(t *testing.T) {
	a := attempt()
	reference := c.twice(t, a)
	for range 2 {
		if err := c.Capture(t.Context(), payments.Capture{Key: a.Key + ":capture", Reference: reference, Amount: a.Amount}); err != nil {
			t.Fatalf("capture: %v", err)
		}
	}

	refunds := make([]string, 8)
	var all sync.WaitGroup
	for i := range refunds {
		all.Go(func() {
			var err error
			refunds[i], err = c.Refund(t.Context(), payments.Refund{Key: a.Key + ":refund", Reference: reference, Amount: money.Money{Amount: 250, Currency: "EUR"}})
			if err != nil || refunds[i] == "" {
				t.Errorf("refund: %q, %v", refunds[i], err)
			}
		})
	}
	all.Wait()
	for _, refund := range refunds {
		if refund != refunds[0] {
			t.Errorf("refunds of one key: %v", refunds)
		}
	}
}

func (c contract) void(t *testing.T) {
	a := attempt()
	reference := c.twice(t, a)
	for range 2 {
		if err := c.Void(t.Context(), payments.Void{Key: a.Key + ":void", Reference: reference, Of: a}); err != nil {
			t.Errorf("void: %v", err)
		}
	}
}

func (c contract) voidWithout(t *testing.T) {
	a := attempt()
	c.twice(t, a)
	for range 2 {
		if err := c.Void(t.Context(), payments.Void{Key: a.Key + ":void", Of: a}); err != nil {
			t.Errorf("void: %v", err)
		}
	}
}

// An authorisation that arrives after its void is declined.
func (c contract) voidBefore(t *testing.T) {
	a := attempt()
	if err := c.Void(t.Context(), payments.Void{Key: a.Key + ":void", Of: a}); err != nil {
		t.Fatalf("void: %v", err)
	}

	_, err := c.Authorize(t.Context(), a)

	if e, ok := errors.AsType[*payments.Declined](err); !ok || e.Code != payments.CodeVoided {
		t.Errorf("got %v, want %s", err, payments.CodeVoided)
	}
}

// A cancelled call returns context.Canceled and not a decline: its outcome is unknown.
func (c contract) ended(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := c.Authorize(ctx, attempt())

	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
