// Package settlement is the language in which orders and payments speak about the
// money of an order. It is published for other modules and imports none of them:
// the rules stay in payments, the meaning for an order stays in orders.
package settlement

import (
	"context"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Goal is where the money of an order is to be brought.
type Goal string

// The closed set of goals.
const (
	Authorize Goal = "authorize"
	Capture   Goal = "capture"
	Void      Goal = "void"
	Keep      Goal = "keep" // as it is; pending refunds are made nevertheless
)

// Step names a request to the payment provider. Dead letters store it.
type Step = string

// The closed set of steps.
const (
	StepAuthorize Step = "authorize"
	StepCapture   Step = "capture"
	StepVoid      Step = "void"
	StepRefund    Step = "refund"
)

// Call is a request to the payment provider. It is safe to make it twice.
type Call interface {
	Step() Step
	// Key is the same for the same request, and for no other. It is the
	// provider's idempotency key.
	Key() string
	// Do makes the request, outside any transaction. It returns nil when there is
	// an answer to apply, which may be a decline; errors are of queue's three kinds.
	Do(ctx context.Context) error
}

// Outcome is what happened to the money.
type Outcome string

// The closed set of outcomes.
const (
	None            Outcome = ""
	Authorized      Outcome = "authorized"
	Declined        Outcome = "declined"
	Captured        Outcome = "captured"
	Voided          Outcome = "voided"
	RefundRequested Outcome = "refund-requested"
	Refunded        Outcome = "refunded"
	RefundFailed    Outcome = "refund-failed"
)

// Decline is the provider's reason for refusing a payment.
type Decline struct{ Code, Detail string }

// Change is what a command changed. Outcome is None when nothing happened that
// the order must record, for example because the answer was known already.
type Change struct {
	Outcome Outcome
	Amount  int64    // what the outcome is about, in minor units
	Decline *Decline // with Declined
	// Refunding is the sum of the pending refunds after the command, and
	// FailedRefunds the number of those that wait for an administrator.
	Refunding     int64
	FailedRefunds int
	Refund        Refund // after RequestRefund
}

// Refund is a refund as the payments module shows it. Orders hand it on.
type Refund interface {
	// RefundID is the id of the refund.
	RefundID() uuid.UUID
}

// Command is one of the commands below.
type Command interface{ command() }

type (
	// Begin records that a total is to be authorized.
	Begin struct {
		Total  money.Money
		Method *string
	}
	// Answer applies the answer to a call.
	Answer struct{ Call Call }
	// Exhausted gives up a call. A refund fails for good; everything else stays
	// due until an administrator decides.
	Exhausted struct {
		Call  Call
		Cause error
	}
	// RequestRefund records that money is to go back. Items are units by sku that
	// the amount is for, nil when it is for no line in particular; Ordered are the
	// units of the order. It is refused with a fault when too few units are left.
	RequestRefund struct {
		Amount         int64
		Items, Ordered map[string]int64
		Reason         string
		By             identity.Actor
	}
	// RetryRefunds makes failed refunds due again, up to an amount and to the
	// ordered units. Change.Amount is their sum.
	RetryRefunds struct {
		Left    int64
		Ordered map[string]int64
	}
	// Abandon gives up whatever is unsettled, because a person has decided so.
	Abandon struct{}
)

func (Begin) command()         {}
func (Answer) command()        {}
func (Exhausted) command()     {}
func (RequestRefund) command() {}
func (RetryRefunds) command()  {}
func (Abandon) command()       {}
