package stripe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/stripe/stripe-go/v85"

	"github.com/orderflow-dev/orderflow/modules/payments"
)

// explain converts an error of the library to one of package payments. The library's error must
// not be returned, because its text is the whole response including the intent's client secret.
//
// A wrong secret key is retryable, so that no payment is lost until the operator corrects it;
// payments.Guard delays the calls without counting attempts.
func (p *Provider) explain(err error) error {
	if err == nil {
		return nil
	}
	e := stripeError(err)
	if e == nil {
		return p.unreachable(err)
	}
	status := e.HTTPStatusCode
	switch {
	case e.Type == stripe.ErrorTypeCard:
		return p.declined(e)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("stripe refuses the secret key (status %d, request %s): it is wrong, expired, or lacks a permission; check STRIPE_SECRET_KEY", status, e.RequestID)
	case status == http.StatusConflict, status == http.StatusTooManyRequests, status < 400, status >= 500:
		return fmt.Errorf("stripe: status %d %s (request %s)", status, cmp.Or(string(e.Code), string(e.Type)), e.RequestID)
	case e.Type == stripe.ErrorTypeIdempotency:
		return &payments.Rejected{Code: payments.CodeMismatch, Detail: p.detail(e)}
	case e.Param == "payment_method", strings.HasPrefix(string(e.Code), "payment_method_"):
		// The payer chose the payment method.
		return p.declined(e)
	default:
		return &payments.Rejected{Code: cmp.Or(kebab(string(e.Code)), "invalid-request"), Detail: p.detail(e)}
	}
}

// declined returns a decline with Stripe's message for payers.
func (p *Provider) declined(e *stripe.Error) *payments.Declined {
	code := cmp.Or(kebab(string(e.DeclineCode)), kebab(string(e.Code)), "declined")
	switch e.Code {
	case stripe.ErrorCodeAuthenticationRequired, stripe.ErrorCodePaymentIntentAuthenticationFailure, "requires_action_not_handled":
		code = payments.CodeAuthentication
	default:
	}
	return &payments.Declined{Code: code, Detail: p.safe(e.Msg)}
}

func (p *Provider) detail(e *stripe.Error) string {
	return p.safe(e.Msg) + " (request " + e.RequestID + ")"
}

// unreachable is for calls without a response of Stripe. Only texts of network errors are kept,
// because others may contain a part of the response.
func (p *Provider) unreachable(err error) error {
	if network, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("stripe cannot be reached: %w", network.Err)
	}
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return fmt.Errorf("stripe: %w", ended)
		}
	}
	return fmt.Errorf("stripe gave an answer that cannot be read (%T)", err)
}

// safe sanitises texts of third parties.
func (p *Provider) safe(text string) string {
	if p.secret == "" {
		return text
	}
	return strings.ReplaceAll(text, p.secret, "(secret key)")
}

func stripeError(err error) *stripe.Error {
	e, _ := errors.AsType[*stripe.Error](err)
	return e
}

// unexpected reports whether the intent was not in the state that the call requires. Then its
// current state decides.
func unexpected(err error) bool {
	rejected, ok := errors.AsType[*payments.Rejected](err)
	return ok && rejected.Code == kebab(string(stripe.ErrorCodePaymentIntentUnexpectedState))
}

// final reports whether a stored response is a final result.
func final(err error) bool {
	_, declined := errors.AsType[*payments.Declined](err)
	_, rejected := errors.AsType[*payments.Rejected](err)
	return declined || rejected
}

func kebab(code string) string { return strings.ReplaceAll(code, "_", "-") }
