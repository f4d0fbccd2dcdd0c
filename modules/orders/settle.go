package orders

import (
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
)

// goals translates what a status wants of the money.
var goals = map[lifecycle.Money]settlement.Goal{
	lifecycle.Authorize: settlement.Authorize,
	lifecycle.Capture:   settlement.Capture,
	lifecycle.Void:      settlement.Void,
	lifecycle.Keep:      settlement.Keep,
}

// paymentEvents translates what happened to the money.
var paymentEvents = map[settlement.Outcome]lifecycle.EventType{
	settlement.Authorized:      lifecycle.EventAuthorized,
	settlement.Declined:        lifecycle.EventDeclined,
	settlement.Captured:        lifecycle.EventCaptured,
	settlement.Voided:          lifecycle.EventVoided,
	settlement.RefundRequested: lifecycle.EventRefundRequested,
	settlement.Refunded:        lifecycle.EventRefunded,
	settlement.RefundFailed:    lifecycle.EventRefundFailed,
}
