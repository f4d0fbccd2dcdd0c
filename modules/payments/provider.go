package payments

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/money"
)

// Provider moves money (SPEC D3). It is asked outside of any transaction, about
// what was written down before, and any call may be asked again: after a crash, a
// time-out, or by two nodes at once.
//
// Every call carries a Key that is the same however often it is made, and that no
// other call ever has. All calls with one key have one effect at most, and once
// there is a final answer every further call gets the same. A call is final when
// it returns nil, a *Declined or a *Rejected. After an *Unavailable or any other error
// nothing is known: the effect may have happened, may still happen, or may not, and
// only asking again with the same key tells.
//
// A provider has no state of the order's. It is safe for concurrent use and returns
// soon after ctx ends, whether or not the call is done at the other end.
type Provider interface {
	// Name is kept with each payment, so that only the provider that has the money is
	// asked about it later. It never changes.
	Name() string
	// NeedsMethod tells whether an order with a price must name what pays.
	NeedsMethod() bool
	// Authorize holds an amount for later and returns the provider's name for it. It
	// alone is answered with *Declined. A refused authorisation holds nothing, so
	// there is nothing to void.
	Authorize(ctx context.Context, a Authorization) (reference string, err error)
	// Capture takes what Authorize holds, once; what is not taken is let go.
	Capture(ctx context.Context, c Capture) error
	// Void makes sure that what Authorize with the key Of.Key did, or may yet do,
	// holds no money: from then on that call is *Declined, also when it was on its way.
	// It does not undo a capture, which is *Rejected. Voiding twice is fine.
	Void(ctx context.Context, v Void) error
	// Refund gives back captured money, in parts if wanted, never more than was
	// captured, and returns the provider's name for it.
	Refund(ctx context.Context, r Refund) (reference string, err error)
}

// Authorization asks for money to be held.
type Authorization struct {
	Key     string
	OrderID uuid.UUID   // for the people who look at the provider's side
	Amount  money.Money // above zero: a free order has no payment
	Method  string      // the provider's token for what pays; may be empty unless NeedsMethod
}

// Capture takes held money.
type Capture struct {
	Key, Reference string
	Amount         money.Money // at most what was authorised
}

// Void lets held money go. Of is the authorisation as it was asked for, since
// Reference is "" when its answer never came.
type Void struct {
	Key, Reference string
	Of             Authorization
}

// Refund gives captured money back. Reference is that of the payment.
type Refund struct {
	Key, Reference string
	Amount         money.Money
}

// Codes that mean the same with every provider. All others are the provider's own,
// in kebab-case: what Stripe calls insufficient_funds is insufficient-funds.
const (
	CodeVoided         = "voided"                  // the authorisation was voided before it came, or is no longer
	CodeAuthentication = "authentication-required" // the payer's bank wants to see the payer
	CodeMismatch       = "idempotency-mismatch"    // the key was used for something else
)

// Declined is final, and a matter of the payer's: another card may do.
type Declined struct {
	Code   string // stable, kebab-case
	Detail string // a sentence for the payer; no secrets, nobody's data
}

func (e *Declined) Error() string { return "declined: " + e.Code + ": " + e.Detail }

// Rejected is final, and a matter of ours: the provider will never accept this
// call, however often it is made. Somebody must look.
type Rejected struct {
	Code   string // stable, kebab-case
	Detail string // a sentence for an operator; no secrets
}

func (e *Rejected) Error() string { return "rejected: " + e.Code + ": " + e.Detail }

// Unavailable says that the provider as a whole cannot be used just now. Nothing is known
// about the call, and it is no fault of the call's: come back after RetryAfter and count
// no try (SPEC D4). All calls that were refused together get about the same RetryAfter,
// so the caller spreads them.
type Unavailable struct {
	RetryAfter time.Duration
	cause      error
}

// NewAway makes an Unavailable with the reason for the log.
func NewAway(wait time.Duration, cause error) *Unavailable {
	return &Unavailable{RetryAfter: wait, cause: cause}
}

func (e *Unavailable) Error() string {
	if e.cause == nil {
		return "the payment provider is away"
	}
	return fmt.Sprintf("the payment provider is away: %v", e.cause)
}

func (e *Unavailable) Unwrap() error { return e.cause }
