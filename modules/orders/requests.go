package orders

import (
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// OrderRequest is what a client asks for. Names and prices are not its to say.
//
// The fingerprint of an idempotency key is this document in the order of its members: a
// new member is left out when it is absent, so that requests of before keep theirs.
type OrderRequest struct {
	Items []OrderRequestItem `json:"items" minItems:"1" maxItems:"500" nullable:"false"`
	GivenRequest
	PaymentMethod *string `json:"paymentMethod,omitzero" minLength:"1" maxLength:"255" doc:"What pays: a token of the payment provider"`
	OnShortage    string  `json:"onShortage,omitempty" enum:"fail,hold" default:"fail" doc:"What to do when stock does not suffice"`
}

// OrderRequestItem is one line of a basket. A sku may stand in several lines.
type OrderRequestItem struct {
	SKU      string `json:"sku" minLength:"1" maxLength:"64"`
	Quantity int64  `json:"quantity" minimum:"1" maximum:"1000000"`
}

// placement is an order on its way into the database.
type placement struct {
	caller  identity.Caller
	wanted  OrderRequest
	key     idempotency.Key[Order]
	trace   []byte // metadata of its job: the trace that the request belongs to
	version int64  // of the catalogue that it was priced with

	row    *ent.Order
	lines  []Line
	placed idempotency.Result[Order] // with the response that is stored with the key
	event  events.Event
}

// advanceRequest asks to move an order on. After the payment provider was asked,
// it carries the call with its answer.
type advanceRequest struct {
	order uuid.UUID
	call  settlement.Call
}
