package lifecycle

import (
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
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

// The steps of processing, as dead letters name them.
const (
	StepReserve   = "reserve"
	StepProcess   = "process"
	StepAuthorize = "authorize"
	StepCapture   = "capture"
	StepVoid      = "void"
	StepRefund    = "refund"
)

// Steps lists the steps of processing in their order.
var Steps = []string{StepReserve, StepProcess, StepAuthorize, StepCapture, StepVoid, StepRefund}

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
	Step           string      `json:"step,omitempty" doc:"The step that gave up"`
	Cause          string      `json:"cause,omitempty" doc:"Why it stalled, or which step was dealt with"`
}

// StockItem is a number of units of one sku.
type StockItem struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Payment is the amount that an event is about, and the sums after it.
type Payment struct {
	Status    PaymentStatus `json:"status"`
	Amount    *money.Money  `json:"amount,omitzero"`
	Captured  money.Money   `json:"captured"`
	Refunded  money.Money   `json:"refunded"`
	Refunding money.Money   `json:"refunding"`
	Code      string        `json:"code,omitempty"` // why it was declined
	Detail    string        `json:"detail,omitempty"`
}

// Failure says why an order was given up.
type Failure struct {
	Code   string   `json:"code" example:"out-of-stock"`
	Detail string   `json:"detail"`
	SKUs   []string `json:"skus,omitempty" doc:"Which were short"`
}

// Line is one line of an order, with name and price as they were when it was placed.
type Line struct {
	SKU       string      `json:"sku"`
	Name      string      `json:"name"`
	Quantity  int64       `json:"quantity"`
	UnitPrice money.Money `json:"unitPrice"`
	Total     money.Money `json:"total"`
}
