package lifecycle

// note is an event that leaves the status as it is.
func (s State) note(kind EventType, d Data) Event {
	d.OrderID, d.Status = s.ID, s.Status
	return Event{Type: kind, Data: d}
}

// transition is an event that changes the status.
func (s State) transition(kind EventType, to Status, role Role, d Data) (Event, error) {
	if err := Check(s, to, role); err != nil {
		return Event{}, err
	}
	d.OrderID, d.PreviousStatus, d.Status = s.ID, s.Status, to
	return Event{Type: kind, Data: d}, nil
}

// sums shows the order's money as events carry it.
func (s State) sums(p PaymentState) *Payment {
	return &Payment{
		Status: p.Status, Captured: s.In(p.Captured), Refunded: s.In(p.Refunded), Refunding: s.In(p.Refunding),
	}
}
