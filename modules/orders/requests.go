package orders

import (
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// OrderRequest is an order as a client requests it. Names and prices come from the
// catalogue.
//
// The fingerprint of an idempotency key is this document in the order of its members. A new
// member is omitted when it is absent, so that earlier requests keep their fingerprint.
type OrderRequest struct {
	Items []OrderRequestItem `json:"items" minItems:"1" maxItems:"500" nullable:"false"`
	GivenRequest
	PaymentMethod *string `json:"paymentMethod,omitzero" minLength:"1" maxLength:"255" doc:"A token of the payment provider"`
	OnShortage    string  `json:"onShortage,omitempty" enum:"fail,hold" default:"fail" doc:"What to do if there is not enough stock: fail the order or put it on hold"`
}

// OrderRequestItem is one line of a requested order. Several lines may have the same sku.
type OrderRequestItem struct {
	SKU      string `json:"sku" minLength:"1" maxLength:"64"`
	Quantity int64  `json:"quantity" minimum:"1" maximum:"1000000"`
}

// placement is a new order that is being inserted.
type placement struct {
	caller  identity.Caller
	request OrderRequest
	key     idempotency.Key[Order]
	trace   []byte // the trace of the request, which the job gets as metadata
	version int64  // the version of the catalogue that the prices come from

	row    *ent.Order
	lines  []Line
	placed idempotency.Result[Order] // includes the response that is stored under the key
	event  events.Event
}

// advanceRequest asks for the next step of an order. made is the request that was made since
// the last transaction, with its result, or nil.
type advanceRequest struct {
	order uuid.UUID
	made  request
}
