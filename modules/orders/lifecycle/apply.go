package lifecycle

import "fmt"

// Fold replays an order's events, first to last, from the empty state. A hole in
// the versions is an error.
func Fold(events []Event) (State, error) {
	var s State
	for i, e := range events {
		if e.Version != int64(i+1) {
			return s, fmt.Errorf("event %d has version %d", i+1, e.Version)
		}
		s = s.Apply(e)
	}
	return s, nil
}

// Apply returns the state after an event. It is the only place that changes a
// state: writing, replaying and verify all use it.
func (s State) Apply(e Event) State {
	d := e.Data
	if e.Type == EventCreated {
		s = State{Terms: e.Terms, Payment: PaymentState{Status: PaymentNone}, Round: 1}
	}
	if d.PreviousStatus != "" {
		s = s.enter(d)
	}
	if p := d.Payment; p != nil {
		s.Payment = PaymentState{p.Status, p.Captured.Amount, p.Refunded.Amount, p.Refunding.Amount}
	}
	if d.Tracking != nil {
		s.Tracking = d.Tracking
	}
	if d.Step != "" && e.Type != EventChecked {
		s.Stalled = d.Step
	}
	switch e.Type {
	case EventStockReserved:
		s.Reserved, s.Steps = true, pendingSteps(d.Steps)
	case EventChecked:
		s.Steps = withStep(s.Steps, Step{Name: d.Step, Status: statusAfter[d.Verdict], Code: d.Code, Reason: d.Reason, At: &e.At})
	case EventSkipped:
		s.Steps = withStep(s.Steps, Step{Name: d.Cause, Status: StepSkipped, Reason: d.Reason, At: &e.At})
	case EventReopened:
		s.Round, s.Steps = s.Round+1, nil
	case EventDeleted:
		s.Deleted = true
	}
	if s.Stalled != "" && endsStall(e, s.Stalled) {
		s.Stalled = ""
	}
	s.Status, s.Version, s.UpdatedAt = d.Status, e.Version, e.At
	return s
}

// enter applies what every transition does. Reason and failure belong to the
// status that they led to.
func (s State) enter(d Data) State {
	s.Reason, s.Failure, s.HeldFrom = d.Reason, d.Failure, ""
	at := d.Status
	if d.Status.Meaning().Suspended {
		s.HeldFrom, at = d.PreviousStatus, d.PreviousStatus
	}
	s.Reserved = s.Reserved && at.Meaning().Stock == StockReserving
	return s
}

// endsStall reports whether an event is the end of what the order stalled at.
func endsStall(e Event, step string) bool {
	switch e.Type {
	case EventRetried, EventSkipped, EventReopened, EventCancelled:
		return true
	case EventChecked:
		return e.Data.Step == step
	case EventProcessing:
		return step == StepProcess
	case EventCaptured:
		return step == StepCapture
	case EventVoided:
		return step == StepVoid
	case EventRefunded:
		return e.Data.Cause == causeAfterAll
	default:
		return false
	}
}
