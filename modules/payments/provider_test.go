package payments_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/modules/payments/stripe"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// SPEC D3: what every provider promises, asked of each.
func TestContract_D3(t *testing.T) {
	t.Parallel()
	bank := httptest.NewServer(simulated.Handler(simulated.NewBank(simulated.Options{Remember: true})))
	t.Cleanup(bank.Close)
	for name, p := range map[string]payments.Provider{
		"simulated":             simulated.NewBank(simulated.Options{}),
		"simulated, remembers":  simulated.NewBank(simulated.Options{Remember: true}),
		"simulated, over HTTP":  simulated.Dial(bank.URL),
		"simulated, guarded":    payments.Guard(simulated.NewBank(simulated.Options{}), payments.GuardOptions{}),
		"stripe, on its mock":   stripe.New(stripe.Options{SecretKey: testKey, APIURL: stripeURL, HTTPClient: stripeMock(t).client()}),
		"stripe, mock, guarded": payments.Guard(stripe.New(stripe.Options{SecretKey: testKey, APIURL: stripeURL, HTTPClient: stripeMock(t).client()}), payments.GuardOptions{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			contract{p}.check(t)
		})
	}
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

// twice authorises two times, as everything may be asked two times.
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

// The authorisation that arrives after its void holds nothing.
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

// Nobody is told that a call was refused when it was only cut off.
func (c contract) ended(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := c.Authorize(ctx, attempt())

	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
