package lifecycle

import (
	"time"
)

// State is everything about an order that its events determine. The zero value
// is the order before its first event.
type State struct {
	Terms
	Status   Status
	HeldFrom Status // while ON_HOLD: the status that release leads back to
	Reason   *string
	Failure  *Failure // while FAILED
	Payment  PaymentState
	Tracking *string
	// Reserved is true from the reservation of the stock until the order leaves PENDING. It
	// stays true while the order is on hold and returns to PENDING.
	Reserved bool
	// Round counts from 1 and rises when the order is reopened. Steps are the added steps of
	// the round, from the reservation of the stock on.
	Round   int64
	Steps   []Step
	Stalled string // the step that failed and waits for an administrator, or ""
	Deleted bool
	// Version counts the events; UpdatedAt is the time of the last one.
	Version   int64
	UpdatedAt time.Time
}

// PaymentState is the money of an order, in minor units.
type PaymentState struct {
	Status                        PaymentStatus
	Captured, Refunded, Refunding int64
}

// Refundable is the captured money that no refund has returned or is returning.
func (s State) Refundable() int64 {
	return s.Payment.Captured - s.Payment.Refunded - s.Payment.Refunding
}

// MoneyTarget is where the order's money is to be brought.
func (s State) MoneyTarget() Money { return s.Status.Meaning().Money }

// NeedsStock reports whether stock is still to be reserved.
func (s State) NeedsStock() bool {
	return !s.Deleted && s.Status.Meaning().Stock == StockReserving && !s.Reserved
}

// Unpaid reports whether a reservation waits for its steps or for a payment that was neither
// authorized nor declined. The time of a reservation stops while the order is on hold.
func (s State) Unpaid() bool {
	return s.Reserved && !s.Status.Meaning().Suspended && s.Payment.Status == PaymentNone
}

// Payable reports whether nothing is missing but the payment.
func (s State) Payable() bool { return !s.Deleted && s.Unpaid() && s.Total > 0 && s.stepsDone() }

// Declined reports whether the order must fail because its payment was declined.
func (s State) Declined() bool {
	return s.MoneyTarget() == Authorize && s.Payment.Status == PaymentDeclined
}

// settled reports whether no money is held or under way. A void that failed permanently
// leaves open whether there is any.
func (s State) settled() bool {
	switch s.Payment.Status {
	case PaymentNone, PaymentDeclined, PaymentVoided, PaymentRefunded:
		return s.Stalled != StepVoid
	default:
		return false
	}
}
