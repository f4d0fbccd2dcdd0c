package lifecycle

import (
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// EventType names what happened (SPEC E1). Types are permanent.
type EventType = string

// The event types of orders.
const (
	EventCreated    EventType = "order.created"
	EventConfirmed  EventType = "order.confirmed"
	EventProcessing EventType = "order.processing"
	EventShipped    EventType = "order.shipped"
	EventCompleted  EventType = "order.completed"
	EventHeld       EventType = "order.held"
	EventReleased   EventType = "order.released"
	EventCancelled  EventType = "order.cancelled"
	EventFailed     EventType = "order.failed"
	EventReopened   EventType = "order.reopened"
	EventDeleted    EventType = "order.deleted"
	EventStalled    EventType = "order.stalled"
	EventRetried    EventType = "order.retried" // an administrator has the step of a dead letter tried again
	EventSkipped    EventType = "order.skipped" // an administrator has it left out

	EventChecked EventType = "order.checked" // an added step decided

	EventStockReserved EventType = "stock.reserved"
	EventStockReleased EventType = "stock.released"

	EventAuthorized      EventType = "payment.authorized"
	EventCaptured        EventType = "payment.captured"
	EventVoided          EventType = "payment.voided"
	EventDeclined        EventType = "payment.declined"
	EventRefundRequested EventType = "payment.refund_requested"
	EventRefunded        EventType = "payment.refunded"
	EventRefundFailed    EventType = "payment.refund_failed"
)

// Event is one change of one order. Decisions set Type, Data and Terms; Record
// sets the rest.
type Event struct {
	Type    EventType
	Data    Data
	Terms   Terms // of order.created
	Version int64
	Actor   identity.Actor
	At      time.Time
}

// Data is what an event says besides actor, time and version. Status is always
// there; the rest only where it changed, so that replaying needs little
// knowledge of the types.
type Data struct {
	OrderID        uuid.UUID   `json:"orderId"`
	Status         Status      `json:"status" doc:"The order's status after the event"`
	PreviousStatus Status      `json:"previousStatus,omitempty" doc:"The status before, when the event changed it"`
	Reason         *string     `json:"reason,omitzero" doc:"What was given as the reason"`
	Failure        *Failure    `json:"failure,omitzero" doc:"Why the order was given up"`
	Items          []StockItem `json:"items,omitempty" doc:"The units that this is about"`
	Payment        *Payment    `json:"payment,omitzero" doc:"What became of the order's money"`
	Tracking       *string     `json:"tracking,omitzero" doc:"The carrier's number"`
	Step           string      `json:"step,omitempty" doc:"The step that failed or made the decision"`
	Cause          string      `json:"cause,omitempty" doc:"Why it stalled, or which step was dealt with"`
	Steps          []string    `json:"steps,omitempty" doc:"The steps that must decide before the payment"`
	Verdict        VerdictKind `json:"verdict,omitempty" doc:"What the step decided"`
	Code           string      `json:"code,omitempty" doc:"Why the step failed the order"`
}

// causeAfterAll is the cause in the event of a refund that had been given up and
// succeeded nevertheless, the last of its order's.
const causeAfterAll = "after-all"
