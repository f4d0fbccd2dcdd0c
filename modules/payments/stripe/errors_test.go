package stripe_test

import (
	"context"
	"errors"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/stripe"
)

// SPEC D3, D4: what is final for the payer, what is final for us, and what is tried again.
func TestErrors_D4(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		status int
		body   string
		want   string
	}{
		"decline code":      {402, fails("card_error", "card_declined", `,"decline_code":"insufficient_funds"`), "declined insufficient-funds"},
		"error code":        {402, fails("card_error", "expired_card", ""), "declined expired-card"},
		"no code":           {402, fails("card_error", "", ""), "declined declined"},
		"authentication":    {402, fails("card_error", "authentication_required", `,"decline_code":"authentication_required"`), "declined authentication-required"},
		"not handled":       {402, fails("card_error", "requires_action_not_handled", ""), "declined authentication-required"},
		"no such method":    {400, fails("invalid_request_error", "resource_missing", `,"param":"payment_method"`), "declined resource-missing"},
		"unusable method":   {400, fails("invalid_request_error", "payment_method_unactivated", ""), "declined payment-method-unactivated"},
		"too small":         {400, fails("invalid_request_error", "amount_too_small", `,"param":"amount"`), "rejected amount-too-small"},
		"no code of theirs": {400, fails("invalid_request_error", "", ""), "rejected invalid-request"},
		"missing":           {404, fails("invalid_request_error", "resource_missing", `,"param":"intent"`), "rejected resource-missing"},
		"other arguments":   {400, fails("idempotency_error", "", ""), "rejected idempotency-mismatch"},
		"key in use":        {409, fails("idempotency_error", "idempotency_key_in_use", ""), "retry"},
		"locked":            {429, fails("invalid_request_error", "lock_timeout", ""), "retry"},
		"too many":          {429, fails("invalid_request_error", "rate_limit", ""), "retry"},
		"their fault":       {500, broken, "retry"},
		"overloaded":        {503, broken, "retry"},
		"no key":            {401, `{"error":{"type":"invalid_request_error","message":"Invalid API Key provided: ` + secretKey + `"}}`, "retry"},
		"no permission":     {403, `{"error":{"type":"invalid_request_error","code":"secret_key_required","message":"The key ` + secretKey + ` may not."}}`, "retry"},
		"leaks the key":     {400, `{"error":{"type":"invalid_request_error","message":"` + secretKey + ` is odd"}}`, "rejected invalid-request"},
		"a page":            {502, "<html>Bad gateway</html>", "retry"},
		"not an error":      {400, `{"client_secret":"` + clientSecret + `"}`, "retry"},
		"cut off":           {200, `{"id":"pi_1","client_secret":"` + clientSecret + `",`, "retry"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := says(t, created, reply{to: confirm, status: row.status, body: row.body})

			_, err := s.Authorize(t.Context(), attempt)

			expect(t, err, row.want)
		})
	}
}

// What the payer reads is what Stripe has for payers.
func TestDeclineDetail(t *testing.T) {
	t.Parallel()
	s := says(t, created, reply{to: confirm, status: 402, body: fails("card_error", "card_declined", `,"decline_code":"lost_card"`)})

	_, err := s.Authorize(t.Context(), attempt)

	if e, ok := errors.AsType[*payments.Declined](err); !ok || e.Detail != "What Stripe says." {
		t.Errorf("got %v", err)
	}
}

// An ended context is reported as such; a call without a response can be retried.
func TestNetwork(t *testing.T) {
	t.Parallel()
	p := stripe.New(stripe.Options{SecretKey: secretKey, APIURL: "http://" + testport.For(t).Address()})
	_, err := p.Authorize(t.Context(), attempt)
	expect(t, err, "retry")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Authorize(ctx, attempt)
	expect(t, err, "retry")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
