package lifecycle

import (
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/money"
)

// Terms are fixed when the order is placed.
type Terms struct {
	ID, UserID uuid.UUID
	Currency   string
	Total      int64 // minor units
	// HoldOnShortage puts the order on hold when stock does not suffice,
	// instead of failing it.
	HoldOnShortage bool
}

// PaymentStatus sums up the payments of an order.
type PaymentStatus string

// The closed set of payment statuses (docs/spec.md, section C).
const (
	PaymentNone              PaymentStatus = "NONE"
	PaymentAuthorized        PaymentStatus = "AUTHORIZED"
	PaymentCaptured          PaymentStatus = "CAPTURED"
	PaymentPartiallyRefunded PaymentStatus = "PARTIALLY_REFUNDED"
	PaymentRefunded          PaymentStatus = "REFUNDED"
	PaymentVoided            PaymentStatus = "VOIDED"
	PaymentDeclined          PaymentStatus = "DECLINED"
	PaymentRefundFailed      PaymentStatus = "REFUND_FAILED"
)

// In returns an amount in the order's currency.
func (t Terms) In(amount int64) money.Money { return money.Money{Amount: amount, Currency: t.Currency} }

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
	_ struct{} `schema:"OrderFailure"`

	Code   string   `json:"code" example:"out-of-stock"`
	Detail string   `json:"detail"`
	SKUs   []string `json:"skus,omitempty" doc:"Which were short"`
}

// Line is one line of an order, with name and price as they were when it was placed.
type Line struct {
	_ struct{} `schema:"OrderItem"`

	SKU       string      `json:"sku"`
	Name      string      `json:"name"`
	Quantity  int64       `json:"quantity"`
	UnitPrice money.Money `json:"unitPrice"`
	Total     money.Money `json:"total"`
}

// OwnSteps lists the steps that every order has, in their order. Added steps come between
// reserve and authorize.
var OwnSteps = []string{StepReserve, StepProcess, StepAuthorize, StepCapture, StepVoid, StepRefund}

// The steps that every order has, as dead letters name them.
const (
	StepReserve   = "reserve"
	StepProcess   = "process"
	StepAuthorize = "authorize"
	StepCapture   = "capture"
	StepVoid      = "void"
	StepRefund    = "refund"
)
