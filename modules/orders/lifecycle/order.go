package lifecycle

import (
	"time"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// ProcessingTime is how long the system may take for its next step before the
// sweep looks into the order (SPEC D6).
const ProcessingTime = 30 * time.Second

// Deadlines are appointments that the system has with an order. No event records
// them; they are stored beside the state.
type Deadlines struct {
	ReservedUntil *time.Time // an unpaid reservation expires then (SPEC D7)
	DueAt         *time.Time // the next step of the system is late then; nil: nothing is outstanding
}

// Resolution is how the open dead letters of an order came to their end.
type Resolution struct {
	How    string // retried, skipped, cancelled or superseded
	Reason *string
}

// Order is an order within one transaction: its state, its deadlines, and the
// events recorded since it was loaded. It is not safe for concurrent use.
type Order struct {
	State
	Deadlines

	// NeedsJob is true when a job must be added with the commit.
	NeedsJob bool
	// Resolved is set when the step that the order had stalled at came to an end.
	Resolved *Resolution
	// Recorded are the new events, first to last.
	Recorded []Event

	loaded State
	before Deadlines
	actor  identity.Actor
	at     time.Time
}

// Load returns an order as it is stored. What is recorded happens at a time, by an actor.
func Load(s State, d Deadlines, actor identity.Actor, at time.Time) *Order {
	return &Order{State: s, Deadlines: d, loaded: s, before: d, actor: actor, at: at}
}

// Loaded is the state as it was when the order was loaded.
func (o *Order) Loaded() State { return o.loaded }

// At is the time at which the changes of this transaction happen.
func (o *Order) At() time.Time { return o.at }

// Actor is who makes the changes of this transaction.
func (o *Order) Actor() identity.Actor { return o.actor }

// Changed reports whether there is anything to store.
func (o *Order) Changed() bool { return len(o.Recorded) > 0 || o.Deadlines != o.before }

// Record applies decided events, and keeps them for the log.
func (o *Order) Record(events ...Event) {
	for _, e := range events {
		before := o.State
		e.Version, e.Actor, e.At = before.Version+1, o.actor, o.at
		o.State = before.Apply(e)
		o.Recorded = append(o.Recorded, e)
		if o.Status != before.Status {
			o.reschedule(before)
		}
		if before.Stalled != "" && o.Stalled == "" {
			o.Resolved = resolutionBy(e)
		}
	}
}

// reschedule sets the deadlines that a new status brings. An authorization that
// was begun may hold money, and only the provider knows: a job must ask. A payment is begun
// after the last step.
func (o *Order) reschedule(before State) {
	o.DueAt, o.NeedsJob = nil, false
	if !o.Reserved {
		o.ReservedUntil = nil
	}
	asking := before.Payable() && o.Status != Confirmed
	unsettled := o.MoneyTarget() != Keep && o.Payment.Status == PaymentAuthorized
	if o.Status.Meaning().Automatic || asking || unsettled || o.Payment.Refunding > 0 {
		o.Schedule()
	}
}

// Schedule says that the system has something to do for the order: a job is
// added, and the sweep watches the deadline.
func (o *Order) Schedule() {
	o.NeedsJob = true
	o.Postpone(o.at)
}

// Postpone sets the deadline to one processing time after a moment.
func (o *Order) Postpone(from time.Time) { o.DueAt = new(from.Add(ProcessingTime)) }

// Unschedule says that nothing is outstanding.
func (o *Order) Unschedule() { o.DueAt, o.NeedsJob = nil, false }

func resolutionBy(e Event) *Resolution {
	switch e.Type {
	case EventRetried, EventReopened:
		return &Resolution{How: "retried"}
	case EventSkipped, EventChecked: // a person completed the step
		return &Resolution{How: "skipped", Reason: e.Data.Reason}
	case EventCancelled:
		return &Resolution{How: "cancelled", Reason: e.Data.Reason}
	default: // a later success did what had given up
		return &Resolution{How: "superseded"}
	}
}

// StartPaymentPeriod sets until when a reservation is held for an order that is neither paid
// nor on hold.
func (o *Order) StartPaymentPeriod(period time.Duration) {
	if o.Reserved {
		o.ReservedUntil = new(o.at.Add(period))
	}
}

// Outstanding reports whether the system still has something to do.
func (o *Order) Outstanding() bool { return o.DueAt != nil }
