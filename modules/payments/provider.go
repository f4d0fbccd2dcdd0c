package payments

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/money"
)

// Provider is a payment provider (SPEC D3). It is called outside of any transaction, after the
// call was stored, and any call may be repeated: after a crash, after a timeout, or by two nodes
// at once.
//
// Every call has a Key that is the same for each repetition and for no other call. All calls
// with one key have at most one effect, and after a final result every further call gets the
// same result. A result is final if it is nil, a *Declined or a *Rejected. After an *Unavailable
// or any other error the outcome is unknown: the effect may have happened, may still happen, or
// may never happen, and only a call with the same key finds out.
//
// A provider stores no state of orders. It is safe for concurrent use and returns soon after ctx
// ends, even if the provider's server has not finished the call.
type Provider interface {
	// Name is stored with each payment, so that later calls go to the same provider. It never
	// changes.
	Name() string
	// NeedsMethod reports whether an order that is not free must have a payment method.
	NeedsMethod() bool
	// Authorize authorises an amount and returns the provider's reference. Only Authorize
	// returns *Declined. A declined authorisation does not have to be voided.
	Authorize(ctx context.Context, a Authorization) (reference string, err error)
	// Capture captures an authorisation once; the rest of the amount is released.
	Capture(ctx context.Context, c Capture) error
	// Void cancels the authorisation with the key Of.Key, even if that call has not arrived
	// yet: from then on Authorize with this key returns *Declined. It does not undo a capture;
	// then it returns *Rejected. Voiding twice is allowed.
	Void(ctx context.Context, v Void) error
	// Refund refunds all or a part of the captured amount and returns the provider's reference
	// of the refund.
	Refund(ctx context.Context, r Refund) (reference string, err error)
}

// AmountChecker is implemented by providers that cannot take every amount in every currency.
type AmountChecker interface {
	// CheckAmount returns why the provider will never take an amount, as the end of a sentence that begins with
	// the amount, or "". It calls nobody.
	CheckAmount(m money.Money) string
}

// CheckAmount returns why a provider will never take an amount, or "". Orders of such an amount are
// refused before they are accepted (SPEC C21).
func CheckAmount(p Provider, m money.Money) string {
	if c, ok := p.(AmountChecker); ok && m.Amount > 0 {
		return c.CheckAmount(m)
	}
	return ""
}

// Authorization is a request to authorise an amount.
type Authorization struct {
	Key     string
	OrderID uuid.UUID   // shown in the provider's dashboard
	Amount  money.Money // above zero: a free order has no payment
	Method  string      // the provider's token of the payment method; may be empty unless NeedsMethod
}

// Capture is a request to capture an authorisation.
type Capture struct {
	Key, Reference string
	Amount         money.Money // at most what was authorised
}

// Void is a request to void an authorisation. Of is the request of the authorisation, because
// Reference is empty if its result is unknown.
type Void struct {
	Key, Reference string
	Of             Authorization
}

// Refund is a request to refund captured money. Reference is that of the payment.
type Refund struct {
	Key, Reference string
	Amount         money.Money
}

// Codes that have the same meaning for every provider. All others are codes of the provider in
// kebab-case: Stripe's insufficient_funds is insufficient-funds.
const (
	CodeVoided         = "voided"                  // the authorisation was voided, possibly before it arrived
	CodeAuthentication = "authentication-required" // the payer's bank requires authentication
	CodeMismatch       = "idempotency-mismatch"    // the key was used for another request
)

// Declined is a final result that the payer can act on, for example with another card.
type Declined struct {
	Code   string // stable, kebab-case
	Detail string // a sentence for the payer without secrets and personal data
}

// Error contains the code and the detail.
func (e *Declined) Error() string { return "declined: " + e.Code + ": " + e.Detail }

// Rejected is a final result that an operator must investigate: the provider will never accept
// this call.
type Rejected struct {
	Code   string // stable, kebab-case
	Detail string // a sentence for an operator without secrets
}

// Error contains the code and the detail.
func (e *Rejected) Error() string { return "rejected: " + e.Code + ": " + e.Detail }

// Unavailable means that the provider cannot be used at the moment. The outcome of the call is
// unknown; it is repeated after RetryAfter and not counted as an attempt (SPEC D4). Calls that
// fail together get about the same RetryAfter, so the caller adds jitter.
type Unavailable struct {
	RetryAfter time.Duration
	cause      error
}

// NewAway returns an Unavailable with the reason for the log.
func NewAway(wait time.Duration, cause error) *Unavailable {
	return &Unavailable{RetryAfter: wait, cause: cause}
}

// Error contains the cause, if there is one.
func (e *Unavailable) Error() string {
	if e.cause == nil {
		return "the payment provider is away"
	}
	return fmt.Sprintf("the payment provider is away: %v", e.cause)
}

// Unwrap returns the cause, which may be nil.
func (e *Unavailable) Unwrap() error { return e.cause }
