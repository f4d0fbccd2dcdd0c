package orders

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
)

// Settlement is the money of some orders within one transaction, behind the locks
// of those orders.
type Settlement interface {
	// Next returns the next request to the payment provider that brings an order's
	// money towards a goal, or nil.
	Next(order uuid.UUID, goal settlement.Goal) settlement.Call
	// Apply carries out a command, and returns what it changed.
	Apply(order uuid.UUID, c settlement.Command) (settlement.Change, error)
	// Declined returns why an order's last payment was declined, or nil.
	Declined(order uuid.UUID) *settlement.Decline
	// Queue writes what was decided.
	Queue(b *pgx.Batch)
}

// goals translates what a status wants of the money.
var goals = map[lifecycle.Money]settlement.Goal{
	lifecycle.Authorize: settlement.Authorize,
	lifecycle.Capture:   settlement.Capture,
	lifecycle.Void:      settlement.Void,
	lifecycle.Keep:      settlement.Keep,
}

// paymentEvents translates what happened to the money.
var paymentEvents = map[settlement.Outcome]lifecycle.EventType{
	settlement.Authorized:      lifecycle.EventAuthorized,
	settlement.Declined:        lifecycle.EventDeclined,
	settlement.Captured:        lifecycle.EventCaptured,
	settlement.Voided:          lifecycle.EventVoided,
	settlement.RefundRequested: lifecycle.EventRefundRequested,
	settlement.Refunded:        lifecycle.EventRefunded,
	settlement.RefundFailed:    lifecycle.EventRefundFailed,
}

// nextCall returns the next request to the provider for an order, or nil.
func (u *unitOfWork) nextCall(o *lockedOrder) settlement.Call {
	return u.payments.Next(o.ID, goals[o.MoneyTarget()])
}

// settle carries out a command on an order's money and records what it changed.
func (u *unitOfWork) settle(o *lockedOrder, c settlement.Command) (settlement.Change, error) {
	change, err := u.payments.Apply(o.ID, c)
	if err != nil || change.Outcome == settlement.None {
		return change, err
	}
	recorded := lifecycle.PaymentChange{
		Event: paymentEvents[change.Outcome], Amount: change.Amount, Refunding: change.Refunding, FailedRefunds: change.FailedRefunds,
	}
	if d := change.Decline; d != nil {
		recorded.Code, recorded.Detail = d.Code, d.Detail
	}
	o.Record(o.RecordPayment(recorded))
	return change, nil
}
