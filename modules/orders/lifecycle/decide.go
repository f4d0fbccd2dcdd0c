package lifecycle

import (
	"strings"
)

// The decisions. Each one checks the table of transitions and returns the events
// to record; none of them changes the state.

// Place accepts an order.
func Place(t Terms) Event {
	return Event{Type: EventCreated, Terms: t, Data: Data{OrderID: t.ID, Status: Pending}}
}

// Reserve records the units that are held for the order, and the added steps that must
// decide before its payment.
func (s State) Reserve(items []StockItem, steps []string) Event {
	return s.note(EventStockReserved, Data{Items: items, Steps: steps})
}

// RecordVerdict records the decision of an added step. An order that must fail for it fails in
// a decision of its own: see FailedStep.
func (s State) RecordVerdict(step string, v Verdict) Event {
	d := Data{Step: step, Verdict: v.Kind, Code: v.Code}
	if v.Reason != "" {
		d.Reason = &v.Reason
	}
	return s.note(EventChecked, d)
}

// HoldForStep stops the order until a person completes the step. stalled says that the step ran
// out of attempts.
func (s State) HoldForStep(step, reason string, stalled bool) (Event, error) {
	text := step + ": " + reason
	d := Data{Reason: &text}
	if stalled {
		d.Step = step
	}
	return s.transition(EventHeld, OnHold, System, d)
}

// ReleaseStock records the units that went back.
func (s State) ReleaseStock(items []StockItem) Event {
	return s.note(EventStockReleased, Data{Items: items})
}

// RefuseForShortage puts the order on hold or fails it, as its terms say.
func (s State) RefuseForShortage(skus []string) (Event, error) {
	detail := "Not enough stock of " + strings.Join(skus, ", ") + "."
	if s.HoldOnShortage {
		reason := "out-of-stock: " + detail
		return s.Hold(System, &reason)
	}
	return s.Fail(Failure{Code: "out-of-stock", Detail: detail, SKUs: skus}, "")
}

// Confirmable reports whether stock, steps and money suffice to confirm the order. An order that
// costs nothing needs no payment.
func (s State) Confirmable() bool {
	return s.Status == Pending && s.Reserved && s.stepsDone() && (s.Total == 0 || s.Payment.Status == PaymentAuthorized)
}

// Confirm ends the checks: stock is reserved, every step is done and the payment authorized.
func (s State) Confirm() (Event, error) {
	return s.transition(EventConfirmed, Confirmed, System, Data{})
}

// StartProcessing hands a confirmed order over to fulfilment.
func (s State) StartProcessing() (Event, error) {
	return s.transition(EventProcessing, Processing, System, Data{})
}

// Hold stops the order until a person decides. It keeps its stock and its authorization.
func (s State) Hold(role Role, reason *string) (Event, error) {
	return s.transition(EventHeld, OnHold, role, Data{Reason: reason})
}

// Release lets a held order go on. Only the status that it was held from is legal.
func (s State) Release(role Role, to Status) (Event, error) {
	return s.transition(EventReleased, to, role, Data{})
}

// Cancel ends the order before it is shipped.
func (s State) Cancel(role Role, reason *string) (Event, error) {
	return s.transition(EventCancelled, Cancelled, role, Data{Reason: reason})
}

// Enter sets a status from which nothing else follows.
func (s State) Enter(role Role, to Status, reason *string) (Event, error) {
	return s.transition(to.Meaning().Entered, to, role, Data{Reason: reason})
}

// Fulfilment describes what left the warehouse.
type Fulfilment struct {
	Reason, Tracking *string
	Items            []StockItem
}

// Ship hands the order to the carrier.
func (s State) Ship(role Role, f Fulfilment) (Event, error) {
	return s.transition(EventShipped, Shipped, role, Data{Reason: f.Reason, Tracking: f.Tracking, Items: f.Items})
}

// Complete ends a successful order.
func (s State) Complete(role Role, f Fulfilment) (Event, error) {
	return s.transition(EventCompleted, Completed, role, Data{Reason: f.Reason, Tracking: f.Tracking, Items: f.Items})
}

// Fail gives the order up. step names the step that was exhausted, or is "".
func (s State) Fail(f Failure, step string) (Event, error) {
	return s.transition(EventFailed, Failed, System, Data{Failure: &f, Step: step})
}

// Reopen begins a failed order anew. It returns a *PaymentUnsettled while money of
// the last attempt is held or under way; outstanding says that a step still is.
func (s State) Reopen(role Role, to Status, outstanding bool) (Event, error) {
	if err := Check(s, to, role); err != nil {
		return Event{}, err
	}
	if outstanding || !s.settled() {
		return Event{}, &PaymentUnsettled{s.Payment.Status}
	}
	fresh := s.Payment
	fresh.Status = PaymentNone
	return s.transition(EventReopened, to, role, Data{Payment: s.sums(fresh)})
}

// PaymentUnsettled refuses to reopen an order whose money is still under way.
type PaymentUnsettled struct{ Status PaymentStatus }

// Error states the reason without the status.
func (e *PaymentUnsettled) Error() string { return "the payment of the last attempt is unsettled" }

// Stall records that a step failed permanently after the order was confirmed.
func (s State) Stall(step string) Event {
	return s.note(EventStalled, Data{Cause: "out-of-tries", Step: step})
}

// ReportLate records that the order is past its deadline. Nothing has given up yet.
func (s State) ReportLate(cause string) Event { return s.note(EventStalled, Data{Cause: cause}) }

// RetryStep records that a step is tried again, with refunds of that amount.
func (s State) RetryStep(step string, refunding int64) Event {
	again := s.Payment
	again.Refunding += refunding
	return s.note(EventRetried, Data{Cause: step, Payment: s.sums(again)})
}

// SkipStep records that a step is left out for good.
func (s State) SkipStep(step string, reason *string) Event {
	return s.note(EventSkipped, Data{Cause: step, Reason: reason})
}

// Delete takes the order out of sight. The caller cancels an open one first.
func (s State) Delete() Event { return s.note(EventDeleted, Data{}) }
