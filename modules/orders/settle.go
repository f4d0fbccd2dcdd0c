package orders

import (
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
)

// goals maps the payment rule of a status to the goal of the payments module.
var goals = map[lifecycle.Money]settlement.Goal{
	lifecycle.Authorize: settlement.Authorize,
	lifecycle.Capture:   settlement.Capture,
	lifecycle.Void:      settlement.Void,
	lifecycle.Keep:      settlement.Keep,
}

// paymentEvents maps outcomes of payments to event types.
var paymentEvents = map[settlement.Outcome]lifecycle.EventType{
	settlement.Authorized:      lifecycle.EventAuthorized,
	settlement.Declined:        lifecycle.EventDeclined,
	settlement.Captured:        lifecycle.EventCaptured,
	settlement.Voided:          lifecycle.EventVoided,
	settlement.RefundRequested: lifecycle.EventRefundRequested,
	settlement.Refunded:        lifecycle.EventRefunded,
	settlement.RefundFailed:    lifecycle.EventRefundFailed,
}
