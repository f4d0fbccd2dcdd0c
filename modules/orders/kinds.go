package orders

import (
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Kinds are the event types of this module with their documentation (SPEC E1).
func Kinds() []events.Kind {
	was := []string{"previousStatus"}
	units, payment := []string{"items"}, []string{"payment"}
	kinds := []events.Kind{
		{Type: lifecycle.EventCreated, Doc: "An order was accepted.", Required: []string{"order"}, Data: lifecycle.Data{Status: lifecycle.Pending}},
		{Type: lifecycle.EventStockReserved, Doc: "Stock was reserved for the order.", Required: units, Data: lifecycle.Data{Status: lifecycle.Pending, Items: someItems, Steps: []string{"fraud"}}},
		{Type: lifecycle.EventChecked, Doc: "A step before the payment decided about the order.", Required: []string{"step", "verdict"}, Data: lifecycle.Data{
			Status: lifecycle.Pending, Step: "fraud", Verdict: lifecycle.VerdictFail, Code: "fraud-suspected", Reason: new("The address is on a list."),
		}},
		{Type: lifecycle.EventAuthorized, Doc: "The payment provider authorised the payment.", Required: payment, Data: somePayment(lifecycle.Pending, lifecycle.PaymentAuthorized, 0, 0, 0)},
		{Type: lifecycle.EventDeclined, Doc: "The payment provider declined the payment.", Required: payment, Notify: true, Data: declinedPayment()},
		{Type: lifecycle.EventConfirmed, Doc: "Stock is reserved and the payment authorised.", Required: was, Notify: true, Data: moved(lifecycle.Pending, lifecycle.Confirmed)},
		{Type: lifecycle.EventProcessing, Doc: "The order is being fulfilled.", Required: was, Data: moved(lifecycle.Confirmed, lifecycle.Processing)},
		{Type: lifecycle.EventShipped, Doc: "The order was shipped.", Required: was, Notify: true, Data: tracked(lifecycle.Processing, lifecycle.Shipped, someItems)},
		{Type: lifecycle.EventCompleted, Doc: "The order was completed.", Required: was, Notify: true, Data: tracked(lifecycle.Processing, lifecycle.Completed, someItems)},
		{Type: lifecycle.EventHeld, Doc: "The order was put on hold.", Required: was, Notify: true, Data: moved(lifecycle.Pending, lifecycle.OnHold)},
		{Type: lifecycle.EventReleased, Doc: "The order was released from hold.", Required: was, Data: moved(lifecycle.OnHold, lifecycle.Pending)},
		{Type: lifecycle.EventCancelled, Doc: "The order was cancelled and will not be fulfilled.", Required: was, Notify: true, Data: moved(lifecycle.Confirmed, lifecycle.Cancelled)},
		{Type: lifecycle.EventFailed, Doc: "Processing failed; the order will not be fulfilled.", Required: []string{"previousStatus", "failure"}, Notify: true, Data: lifecycle.Data{
			Status: lifecycle.Failed, PreviousStatus: lifecycle.Pending,
			Failure: &lifecycle.Failure{Code: "out-of-stock", Detail: "There is not enough of: KETTLE.", SKUs: []string{"KETTLE"}},
		}},
		{Type: lifecycle.EventReopened, Doc: "A failed order was reopened.", Required: was, Data: moved(lifecycle.Failed, lifecycle.Pending)},
		{Type: lifecycle.EventDeleted, Doc: "The order was deleted.", Data: lifecycle.Data{Status: lifecycle.Cancelled}},
		{Type: lifecycle.EventStalled, Doc: "A step of the order failed for good or takes too long.", Required: []string{"cause"}, Data: lifecycle.Data{Status: lifecycle.Confirmed, Step: "process", Cause: "out-of-tries"}},
		{Type: lifecycle.EventRetried, Doc: "The failed step is retried.", Required: []string{"cause"}, Data: lifecycle.Data{Status: lifecycle.Shipped, Cause: "capture", Payment: sums(lifecycle.PaymentAuthorized, 0, 0, 0)}},
		{Type: lifecycle.EventSkipped, Doc: "The failed step is skipped.", Required: []string{"cause"}, Data: lifecycle.Data{Status: lifecycle.Shipped, Cause: "capture", Reason: new("done by hand")}},
		{Type: lifecycle.EventStockReleased, Doc: "Reserved stock was released.", Required: units, Data: lifecycle.Data{Status: lifecycle.Confirmed, Items: someItems}},
		{Type: lifecycle.EventCaptured, Doc: "The payment was captured.", Required: payment, Data: somePayment(lifecycle.Shipped, lifecycle.PaymentCaptured, 2500, 0, 0)},
		{Type: lifecycle.EventVoided, Doc: "The payment was voided.", Required: payment, Data: somePayment(lifecycle.Cancelled, lifecycle.PaymentVoided, 0, 0, 0)},
		{Type: lifecycle.EventRefundRequested, Doc: "A refund was requested.", Required: payment, Data: somePayment(lifecycle.Completed, lifecycle.PaymentCaptured, 2500, 0, 2500)},
		{Type: lifecycle.EventRefunded, Doc: "A refund was made.", Required: payment, Notify: true, Data: somePayment(lifecycle.Completed, lifecycle.PaymentRefunded, 2500, 2500, 0)},
		{Type: lifecycle.EventRefundFailed, Doc: "A refund failed.", Required: payment, Notify: true, Data: failedRefund()},
	}
	for i, k := range kinds {
		d, _ := k.Data.(lifecycle.Data)
		d.OrderID = someID
		example := Data{Data: d}
		if k.Type == lifecycle.EventCreated {
			example.Order = someOrder()
		}
		kinds[i].Data = example
	}
	return kinds
}

// The data of the examples: an order of two kettles.
var (
	someID    = uuid.MustParse("0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11")
	someUser  = uuid.MustParse("0192f0b8-52d0-7a1b-8c0e-5f1a2b3c4d5e")
	someItems = []lifecycle.StockItem{{SKU: "KETTLE", Quantity: 2}}
)

func euro(cents int64) money.Money { return money.Money{Amount: cents, Currency: "EUR"} }

func someOrder() *Order {
	at := jsontime.At(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
	return &Order{
		ID: someID, UserID: someUser, Status: lifecycle.Pending, PaymentStatus: string(lifecycle.PaymentNone), PaymentMethod: new("pm_card_visa"),
		Given: someGiven, OnShortage: "fail",
		Items: []Line{{SKU: "KETTLE", Name: "Kettle", Quantity: 2, UnitPrice: euro(1250), Total: euro(2500)}},
		Total: euro(2500), Captured: euro(0), Refunded: euro(0), Refunding: euro(0), Version: 1, CreatedAt: at, UpdatedAt: at,
	}
}

func moved(from, to lifecycle.Status) lifecycle.Data {
	return lifecycle.Data{Status: to, PreviousStatus: from, Reason: new("as the customer asked")}
}

func tracked(from, to lifecycle.Status, shipped []lifecycle.StockItem) lifecycle.Data {
	d := moved(from, to)
	d.Items = shipped
	d.Tracking = new("1Z999AA10123456784")
	return d
}

func sums(status lifecycle.PaymentStatus, taken, back, under int64) *lifecycle.Payment {
	return &lifecycle.Payment{Status: status, Captured: euro(taken), Refunded: euro(back), Refunding: euro(under)}
}

func somePayment(status lifecycle.Status, payment lifecycle.PaymentStatus, taken, back, under int64) lifecycle.Data {
	p := sums(payment, taken, back, under)
	p.Amount = new(euro(2500))
	return lifecycle.Data{Status: status, Payment: p}
}

func declinedPayment() lifecycle.Data {
	d := somePayment(lifecycle.Pending, lifecycle.PaymentDeclined, 0, 0, 0)
	d.Payment.Code, d.Payment.Detail = "card-declined", "The card was declined."
	return d
}

func failedRefund() lifecycle.Data {
	d := somePayment(lifecycle.Completed, lifecycle.PaymentRefundFailed, 2500, 0, 0)
	d.Payment.Code, d.Payment.Detail = "refund-rejected", "The card's account is closed."
	return d
}
