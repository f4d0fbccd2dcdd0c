package orders

import (
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Kinds are the events that this module writes, for those who describe them (SPEC E1).
func Kinds() []events.Kind {
	was := []string{"previousStatus"}
	units, payment := []string{"items"}, []string{"payment"}
	kinds := []events.Kind{
		{Type: typeCreated, Doc: "An order was accepted.", Always: []string{"order"}, Data: Data{Status: lifecycle.Pending, Order: someOrder()}},
		{Type: typeReserved, Doc: "Stock was set aside for the order.", Always: units, Data: Data{Status: lifecycle.Pending, Items: someItems}},
		{Type: typeAuthorized, Doc: "The payment provider promised the money.", Always: payment, Data: somePayment(lifecycle.Pending, authorized, 0, 0, 0)},
		{Type: typeDeclined, Doc: "The payment provider refused the money.", Always: payment, Note: true, Data: declinedPayment()},
		{Type: typeConfirmed, Doc: "Stock is reserved and the payment authorised.", Always: was, Note: true, Data: moved(lifecycle.Pending, lifecycle.Confirmed)},
		{Type: typeProcessing, Doc: "The order is being fulfilled.", Always: was, Data: moved(lifecycle.Confirmed, lifecycle.Processing)},
		{Type: typeShipped, Doc: "The order is with the carrier.", Always: was, Note: true, Data: tracked(lifecycle.Processing, lifecycle.Shipped, someItems)},
		{Type: typeCompleted, Doc: "The order is done.", Always: was, Note: true, Data: tracked(lifecycle.Processing, lifecycle.Completed, someItems)},
		{Type: typeHeld, Doc: "The order waits for a person to decide.", Always: was, Note: true, Data: moved(lifecycle.Pending, lifecycle.OnHold)},
		{Type: typeResumed, Doc: "The order goes on from where it was held.", Always: was, Data: moved(lifecycle.OnHold, lifecycle.Pending)},
		{Type: typeCancelled, Doc: "The order was cancelled and will not be fulfilled.", Always: was, Note: true, Data: moved(lifecycle.Confirmed, lifecycle.Cancelled)},
		{Type: typeFailed, Doc: "The order was given up and will not be fulfilled.", Always: []string{"previousStatus", "failure"}, Note: true, Data: Data{
			Status: lifecycle.Failed, PreviousStatus: lifecycle.Pending,
			Failure: &Failure{Code: "out-of-stock", Detail: "There is not enough of: KETTLE.", SKUs: []string{"KETTLE"}},
		}},
		{Type: typeReopened, Doc: "A failed order begins anew.", Always: was, Data: moved(lifecycle.Failed, lifecycle.Pending)},
		{Type: typeDeleted, Doc: "The order was taken off the lists.", Data: Data{Status: lifecycle.Cancelled}},
		{Type: typeStalled, Doc: "A step of the order gave up, or takes too long.", Always: []string{"cause"}, Data: Data{Status: lifecycle.Confirmed, Step: "process", Cause: "out-of-tries"}},
		{Type: typeRetried, Doc: "The step that gave up is tried again.", Always: []string{"cause"}, Data: Data{Status: lifecycle.Shipped, Cause: "capture", Payment: sums(authorized, 0, 0, 0)}},
		{Type: typeSkipped, Doc: "The step that gave up is left out.", Always: []string{"cause"}, Data: Data{Status: lifecycle.Shipped, Cause: "capture", Reason: new("done by hand")}},
		{Type: typeReleased, Doc: "Stock that was set aside went back.", Always: units, Data: Data{Status: lifecycle.Confirmed, Items: someItems}},
		{Type: typeCaptured, Doc: "Authorised money was taken.", Always: payment, Data: somePayment(lifecycle.Shipped, captured, 2500, 0, 0)},
		{Type: typeVoided, Doc: "Authorised money will not be taken.", Always: payment, Data: somePayment(lifecycle.Cancelled, voided, 0, 0, 0)},
		{Type: typeRefundRequested, Doc: "Money is to go back to the customer.", Always: payment, Data: somePayment(lifecycle.Completed, captured, 2500, 0, 2500)},
		{Type: typeRefunded, Doc: "Money went back to the customer.", Always: payment, Note: true, Data: somePayment(lifecycle.Completed, refunded, 2500, 2500, 0)},
		{Type: typeRefundFailed, Doc: "Money could not go back to the customer.", Always: payment, Note: true, Data: failedRefund()},
	}
	for i, k := range kinds {
		d, _ := k.Data.(Data)
		d.OrderID = someID
		kinds[i].Data = d
	}
	return kinds
}

// What the examples are about: an order of two kettles.
var (
	someID    = uuid.MustParse("0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11")
	someUser  = uuid.MustParse("0192f0b8-52d0-7a1b-8c0e-5f1a2b3c4d5e")
	someItems = []StockItem{{SKU: "KETTLE", Quantity: 2}}
)

func euro(cents int64) money.Money { return money.Money{Amount: cents, Currency: "EUR"} }

func someOrder() *Order {
	at := jsontime.At(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
	return &Order{
		ID: someID, UserID: someUser, Status: lifecycle.Pending, PaymentStatus: none, PaymentMethod: new("pm_card_visa"),
		Reference: new("PO-4711"), Note: new("a gift"), Metadata: Metadata(`{"channel":"shop"}`), OnShortage: "fail",
		Items: []Line{{SKU: "KETTLE", Name: "Kettle", Quantity: 2, UnitPrice: euro(1250), Total: euro(2500)}},
		Total: euro(2500), Captured: euro(0), Refunded: euro(0), Refunding: euro(0), Version: 1, CreatedAt: at, UpdatedAt: at,
	}
}

func moved(from, to lifecycle.Status) Data {
	return Data{Status: to, PreviousStatus: from, Reason: new("as the customer asked")}
}

func tracked(from, to lifecycle.Status, shipped []StockItem) Data {
	d := moved(from, to)
	d.Items = shipped
	d.Tracking = new("1Z999AA10123456784")
	return d
}

func sums(status string, taken, back, under int64) *Payment {
	return &Payment{Status: status, Captured: euro(taken), Refunded: euro(back), Refunding: euro(under)}
}

func somePayment(status lifecycle.Status, payment string, taken, back, under int64) Data {
	p := sums(payment, taken, back, under)
	p.Amount = new(euro(2500))
	return Data{Status: status, Payment: p}
}

func declinedPayment() Data {
	d := somePayment(lifecycle.Pending, declined, 0, 0, 0)
	d.Payment.Code, d.Payment.Detail = "card-declined", "The card was declined."
	return d
}

func failedRefund() Data {
	d := somePayment(lifecycle.Completed, refundFailed, 2500, 0, 0)
	d.Payment.Code, d.Payment.Detail = "refund-rejected", "The card's account is closed."
	return d
}
