// Package settlement has the types with which orders and payments exchange commands and results
// about the payments of an order. It is public to other modules and imports none of them: the
// rules are in payments, the consequences for an order are in orders.
package settlement

import (
	"context"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Goal is the state that the payment of an order should reach.
type Goal string

// The closed set of goals.
const (
	Authorize Goal = "authorize"
	Capture   Goal = "capture"
	Void      Goal = "void"
	Keep      Goal = "keep" // no change; pending refunds are made nevertheless
)

// Step is the kind of a request to the payment provider. Dead letters store it.
type Step = string

// The closed set of steps.
const (
	StepAuthorize Step = "authorize"
	StepCapture   Step = "capture"
	StepVoid      Step = "void"
	StepRefund    Step = "refund"
)

// Call is a request to the payment provider. It is idempotent.
type Call interface {
	// Step is the kind of the request.
	Step() Step
	// Key is the same for the same request, and for no other. It is the
	// provider's idempotency key.
	Key() string
	// Do makes the request, outside of any transaction. It returns nil if there is a result to
	// apply, which may be a decline; errors are of the three kinds of package queue.
	Do(ctx context.Context) error
}

// Outcome is the result of a command for the payment.
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

// Change is the result of a command. Outcome is None if there is nothing to record for the
// order, for example because the result was known already.
type Change struct {
	Outcome Outcome
	Amount  int64    // of the outcome, in minor units
	Decline *Decline // with Declined
	// Refunding is the sum of the pending refunds after the command, and
	// FailedRefunds the number of those that wait for an administrator.
	Refunding     int64
	FailedRefunds int
	Refund        Refund // after RequestRefund
}

// Refund is a refund as the payments module renders it. Orders passes it on.
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
	// Answer applies the result of a call.
	Answer struct{ Call Call }
	// Exhausted ends the attempts of a call. A refund fails; everything else stays due until an
	// administrator decides.
	Exhausted struct {
		Call  Call
		Cause error
	}
	// RequestRefund records a refund. Items are the refunded units by sku, or nil for an amount
	// without units; Ordered are the ordered units. It returns a fault if fewer units are left.
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
	// Abandon ends everything that is not settled, by decision of an administrator.
	Abandon struct{}
)

func (Begin) command()         {}
func (Answer) command()        {}
func (Exhausted) command()     {}
func (RequestRefund) command() {}
func (RetryRefunds) command()  {}
func (Abandon) command()       {}
