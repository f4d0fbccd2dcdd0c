package stripe_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/providertest"
	"github.com/orderflow-dev/orderflow/modules/payments/stripe"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// SPEC D3: what every provider promises, asked of Stripe.
func TestContract_D3(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]payments.Provider{
		"plain":   stripe.New(stripe.Options{SecretKey: testKey, APIURL: stripeURL, HTTPClient: stripeMock(t).client()}),
		"guarded": payments.Guard(stripe.New(stripe.Options{SecretKey: testKey, APIURL: stripeURL, HTTPClient: stripeMock(t).client()}), breaker.Options{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Check(t, p)
		})
	}
}

// SPEC D3: what is sent is what Stripe describes, with the keys in their places.
func TestWhatStripeIsAsked_D3(t *testing.T) {
	t.Parallel()
	m := stripeMock(t)
	p := stripe.New(stripe.Options{SecretKey: testKey, APIURL: stripeURL, HTTPClient: m.client()})
	order := uuid.MustParse("0198c5d2-0000-7000-8000-000000000001")
	a := payments.Authorization{Key: "P:authorize", OrderID: order, Amount: money.Money{Amount: 1250, Currency: "EUR"}, Method: "pm_card_visa"}

	id, err := p.Authorize(t.Context(), a)
	if err == nil {
		err = p.Capture(t.Context(), payments.Capture{Key: "P:capture", Reference: id, Amount: a.Amount})
	}
	if err == nil {
		_, err = p.Refund(t.Context(), payments.Refund{Key: "R:refund", Reference: id, Amount: money.Money{Amount: 250, Currency: "EUR"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	other := a
	other.Key = "Q:authorize"
	if err := p.Void(t.Context(), payments.Void{Key: "Q:void", Of: other}); err != nil {
		t.Fatal(err)
	}

	const create = "amount=1250&automatic_payment_methods[allow_redirects]=never&automatic_payment_methods[enabled]=true&capture_method=manual&currency=eur" +
		"&metadata[key]=X:authorize&metadata[order_id]=0198c5d2-0000-7000-8000-000000000001&payment_method=pm_card_visa"
	want := []string{
		"POST /v1/payment_intents P:authorize:create " + strings.ReplaceAll(create, "X", "P"),
		"POST /v1/payment_intents/ID/confirm P:authorize:confirm error_on_requires_action=true",
		"POST /v1/payment_intents/ID/capture P:capture amount_to_capture=1250",
		"POST /v1/refunds R:refund amount=250&metadata[key]=R:refund&payment_intent=ID",
		"POST /v1/payment_intents Q:authorize:create " + strings.ReplaceAll(create, "X", "Q"),
		"POST /v1/payment_intents/ID/cancel Q:void",
	}
	if diff := cmp.Diff(want, m.seen); diff != "" {
		t.Error(diff)
	}
}
