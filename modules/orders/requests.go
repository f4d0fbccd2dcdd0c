package orders

import (
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// OrderRequest is an order as a client requests it. Names and prices come from the
// catalogue.
//
// The fingerprint of an idempotency key is this document in the order of its members. A new
// member is omitted when it is absent, so that earlier requests keep their fingerprint.
type OrderRequest struct {
	Items []OrderRequestItem `json:"items" minItems:"1" maxItems:"500" nullable:"false"`
	GivenRequest
	PaymentMethod *string `json:"paymentMethod,omitzero" minLength:"1" maxLength:"255" doc:"A token of the payment provider. The simulated provider accepts every payment except for its [test tokens](/guide#test-tokens): pm_card_authenticationRequired, pm_card_chargeDeclined, pm_card_chargeDeclinedExpiredCard, pm_card_chargeDeclinedFraudulent, pm_card_chargeDeclinedIncorrectCvc, pm_card_chargeDeclinedInsufficientFunds, pm_card_chargeDeclinedLostCard, pm_card_chargeDeclinedProcessingError, pm_card_chargeDeclinedStolenCard, pm_card_chargeDeclinedVelocityLimitExceeded, pm_sim_captureFails, pm_sim_down, pm_sim_refundFails, pm_sim_retry, pm_sim_slow, pm_sim_timeout, pm_sim_voidFails; a total of these amounts has the same effect: 400002, 400069, 400119, 400127, 400200, 400301, 400302, 400303, 400500, 400504, 403184, 406975, 409979, 409987, 409995"`
	// ExpectedTotal is the total that the customer saw.
	ExpectedTotal *money.Money `json:"expectedTotal,omitzero" doc:"Place the order only if this is its total; 409 price-changed otherwise"`
	OnShortage    string       `json:"onShortage,omitempty" enum:"fail,hold" default:"fail" doc:"What to do if there is not enough stock: fail the order or put it on hold"`
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
	m       *Module
	faults  []fault.Field // of the request, without the catalogue
	trace   []byte        // the trace of the request, which the job gets as metadata
	version int64         // the version of the catalogue that the prices come from

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
