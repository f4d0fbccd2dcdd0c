package lifecycle

// PaymentChange is what happened to the money of an order.
type PaymentChange struct {
	Event        EventType
	Amount       int64
	Code, Detail string // why a payment was declined
	// Refunding is the sum of the pending refunds afterwards, FailedRefunds the
	// number of those that wait for an administrator.
	Refunding     int64
	FailedRefunds int
}

// RecordPayment records what happened to the order's money.
func (s State) RecordPayment(c PaymentChange) Event {
	after := s.Payment
	after.Refunding = c.Refunding
	switch c.Event {
	case EventAuthorized:
		after.Status = PaymentAuthorized
	case EventDeclined:
		after.Status = PaymentDeclined
	case EventVoided:
		after.Status = PaymentVoided
	case EventCaptured:
		after.Status = PaymentCaptured
		after.Captured += c.Amount
	case EventRefunded:
		after.Refunded += c.Amount
		after.Status = PaymentPartiallyRefunded
		if after.Refunded == after.Captured {
			after.Status = PaymentRefunded
		}
	case EventRefundFailed:
		after.Status = PaymentRefundFailed
	}

	d := Data{Payment: s.sums(after)}
	amount := s.In(c.Amount)
	d.Payment.Amount, d.Payment.Code, d.Payment.Detail = &amount, c.Code, c.Detail
	if c.Event == EventRefunded && c.FailedRefunds == 0 && s.Stalled == StepRefund {
		d.Cause = causeAfterAll
	}
	return s.note(c.Event, d)
}
