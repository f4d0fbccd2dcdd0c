package orders

import "orderflow/platform/events"

// Kinds are the events that this module writes, for those who describe them (SPEC E1).
func Kinds() []events.Kind {
	kind := func(name, doc string) events.Kind { return events.Kind{Type: name, Doc: doc, Data: Data{}} }
	note := func(name, doc string) events.Kind { return events.Kind{Type: name, Doc: doc, Data: Data{}, Note: true} }
	return []events.Kind{
		kind(typeCreated, "An order was accepted. Its data hold the whole order."),
		kind(typeReserved, "Stock was set aside for the order."),
		kind(typeAuthorized, "The payment provider promised the money."),
		note(typeDeclined, "The payment provider refused the money."),
		note(typeConfirmed, "Stock is reserved and the payment authorised."),
		kind(typeProcessing, "The order is being fulfilled."),
		note(typeShipped, "The order is with the carrier."),
		note(typeCompleted, "The order is done."),
		note(typeHeld, "The order waits for a person to decide."),
		kind(typeResumed, "The order goes on from where it was held."),
		note(typeCancelled, "The order will not be fulfilled: somebody cancelled it."),
		note(typeFailed, "The order will not be fulfilled: the reason is in failure."),
		kind(typeReopened, "A failed order begins anew."),
		kind(typeDeleted, "The order was taken off the lists."),
		kind(typeStalled, "A step of the order gave up, or took too long; see step."),
		kind(typeRetried, "The step that gave up is tried again."),
		kind(typeSkipped, "The step that gave up is left out."),
		kind(typeReleased, "Stock that was set aside went back."),
		kind(typeCaptured, "Authorised money was taken."),
		kind(typeVoided, "Authorised money will not be taken."),
		kind(typeRefundRequested, "Money is to go back to the customer."),
		note(typeRefunded, "Money went back to the customer."),
		note(typeRefundFailed, "Money could not go back to the customer."),
	}
}
