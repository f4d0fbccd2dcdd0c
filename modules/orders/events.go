package orders

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// The types of events (SPEC E1). They are for ever.
const (
	typeCreated    = "order.created"
	typeConfirmed  = "order.confirmed"
	typeProcessing = "order.processing"
	typeShipped    = "order.shipped"
	typeCompleted  = "order.completed"
	typeHeld       = "order.held"
	typeResumed    = "order.released"
	typeCancelled  = "order.cancelled"
	typeFailed     = "order.failed"
	typeReopened   = "order.reopened"
	typeDeleted    = "order.deleted"
	typeStalled    = "order.stalled"
	typeRetried    = "order.retried" // a dead letter's step is tried again
	typeSkipped    = "order.skipped" // or is not
	typeReserved   = "stock.reserved"
	typeReleased   = "stock.released"

	typeAuthorized      = "payment.authorized"
	typeCaptured        = "payment.captured"
	typeVoided          = "payment.voided"
	typeDeclined        = "payment.declined"
	typeRefundRequested = "payment.refund_requested"
	typeRefunded        = "payment.refunded"
	typeRefundFailed    = "payment.refund_failed"
)

// Data is what an event says beyond who, when and which order. Status is always
// there; the rest only where it changed, so that folding needs no knowledge of
// the types.
type Data struct {
	OrderID        uuid.UUID        `json:"orderId"`
	Status         lifecycle.Status `json:"status" enum:"PENDING,CONFIRMED,PROCESSING,SHIPPED,COMPLETED,ON_HOLD,FAILED,CANCELLED" doc:"The order's status after the event"`
	PreviousStatus lifecycle.Status `json:"previousStatus,omitempty" enum:"PENDING,CONFIRMED,PROCESSING,SHIPPED,COMPLETED,ON_HOLD,FAILED,CANCELLED" doc:"The status before, when the event changed it"`
	Reason         *string          `json:"reason,omitzero" doc:"What was given as the reason"`
	Failure        *Failure         `json:"failure,omitzero" doc:"Why the order was given up"`
	Items          []StockItem      `json:"items,omitempty" doc:"The units that this is about"`
	Payment        *Payment         `json:"payment,omitzero" doc:"What became of the order's money"`
	Tracking       *string          `json:"tracking,omitzero" doc:"The carrier's number"`
	Step           string           `json:"step,omitempty" doc:"The step that gave up"`
	Cause          string           `json:"cause,omitempty" doc:"Why it stalled, or which step was dealt with"`
	Order          *Order           `json:"order,omitzero" doc:"The whole order as it was accepted"`
}

// StockItem is a number of units reserved or given back.
type StockItem struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Payment is what became of an order's money: what this event is about, and the
// sums after it.
type Payment struct {
	Status    string       `json:"status"`
	Amount    *money.Money `json:"amount,omitzero"`
	Captured  money.Money  `json:"captured"`
	Refunded  money.Money  `json:"refunded"`
	Refunding money.Money  `json:"refunding"`
	Code      string       `json:"code,omitempty"` // why it was declined
	Detail    string       `json:"detail,omitempty"`
}

// change is what one transaction does to one locked order: the row as it will
// be, and the events that tell how it got there.
type change struct {
	row    *ent.Order
	actor  identity.Actor
	at     time.Time
	events []events.Event
	moves  []lifecycle.Status // the statuses that it led to
	owes   bool               // the system must do something next: write adds a job
	// settled: what the order stalled at is over, and write closes its dead letters.
	settled    bool
	resolution resolution
	// counted is the status under which the order was counted before; "" when it
	// was deleted.
	counted string
}

func newChange(row *ent.Order, actor identity.Actor) *change {
	c := &change{row: row, actor: actor, at: events.Now()}
	if row.DeletedAt == nil {
		c.counted = row.Status
	}
	return c
}

// move takes the order to another status when the table allows it to who.
func (c *change) move(to lifecycle.Status, who lifecycle.Who, kind string, d Data) error {
	from := position(c.row)
	if err := lifecycle.Check(from, to, who); err != nil {
		return err
	}

	// Whether a question is on its way to the provider, nobody knows: somebody must ask.
	asking := c.row.ReservedUntil != nil && c.row.PaymentStatus == none && to != lifecycle.Confirmed

	d.PreviousStatus, d.Status = from.Status, to
	c.row.ReservedUntil = nil
	c.row.Status = string(to)
	c.moves = append(c.moves, to)
	c.row.HeldFrom = nil
	if to == lifecycle.OnHold {
		c.row.HeldFrom = (*string)(&from.Status)
	}
	c.row.Reason = d.Reason
	c.row.FailureCode, c.row.FailureDetail, c.row.FailureSkus = nil, nil, nil
	if f := d.Failure; f != nil {
		c.row.FailureCode, c.row.FailureDetail, c.row.FailureSkus = &f.Code, &f.Detail, f.SKUs
	}
	c.row.DueAt, c.owes = nil, false
	if to.InHand() || asking || wanted(c.row) != keep && c.row.PaymentStatus == authorized || c.row.Refunding > 0 {
		c.owe()
	}
	return c.note(kind, d)
}

// owe says that the system has something to do for the order, by a deadline that
// the sweep watches (SPEC D6).
func (c *change) owe() {
	c.owes = true
	c.row.DueAt = new(c.at.Add(dueAfter))
}

// note records something that leaves the status as it is.
func (c *change) note(kind string, d Data) error {
	c.row.Version++
	c.row.UpdatedAt = c.at
	if d.Step != "" {
		c.row.Stalled = &d.Step
	}
	if c.row.Stalled != nil && settles(kind, d, c.row.Stalled) {
		c.row.Stalled, c.settled = nil, true
	}
	d.OrderID, d.Status = c.row.ID, lifecycle.Status(c.row.Status)

	raw, err := canonical.Marshal(d)
	if err != nil {
		return fmt.Errorf("render %s of order %s: %w", kind, c.row.ID, err)
	}
	c.events = append(c.events, events.Event{
		OrderID: c.row.ID, Version: c.row.Version, UserID: c.row.UserID,
		Type: kind, Data: raw, Actor: c.actor, At: c.at,
	})
	return nil
}

// Fold replays an order's events, first to last, and returns the order they add
// up to: the same as its row, or the database is broken (SPEC E1, `verify`).
func Fold(list []events.Event) (Order, error) {
	var o Order
	for i, e := range list {
		if e.Version != int64(i+1) {
			return o, fmt.Errorf("order %s: event %d has version %d", e.OrderID, i+1, e.Version)
		}
		var d Data
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return o, fmt.Errorf("order %s: read event %d: %w", e.OrderID, e.Version, err)
		}
		apply(&o, e, d)
	}
	return o, nil
}

// settles tells whether an event is the end of what the order stalled at.
func settles(kind string, d Data, stalled *string) bool {
	switch kind {
	case typeRetried, typeSkipped, typeReopened, typeCancelled:
		return true
	case typeProcessing:
		return deref(stalled) == "process"
	case typeCaptured:
		return deref(stalled) == "capture"
	case typeVoided:
		return deref(stalled) == "void"
	case typeRefunded:
		return d.Cause == afterAll
	}
	return false
}

func apply(o *Order, e events.Event, d Data) {
	if d.Order != nil {
		*o = *d.Order
	}
	if d.PreviousStatus != "" {
		o.Reason, o.Failure, o.HeldFrom = d.Reason, d.Failure, nil
		if d.Status == lifecycle.OnHold {
			o.HeldFrom = (*string)(&d.PreviousStatus)
		}
	}
	if p := d.Payment; p != nil {
		o.PaymentStatus, o.Captured, o.Refunded, o.Refunding = p.Status, p.Captured, p.Refunded, p.Refunding
	}
	if d.Tracking != nil {
		o.Tracking = d.Tracking
	}
	if d.Step != "" {
		o.Stalled = &d.Step
	}
	if settles(e.Type, d, o.Stalled) {
		o.Stalled = nil
	}
	o.Status = d.Status
	o.Version = e.Version
	o.UpdatedAt = jsontime.At(e.At)
}
