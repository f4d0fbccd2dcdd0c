package orders

import (
	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// The values of paymentStatus (docs/spec.md, section C).
const (
	none              = "NONE"
	authorized        = "AUTHORIZED"
	captured          = "CAPTURED"
	partiallyRefunded = "PARTIALLY_REFUNDED"
	refunded          = "REFUNDED"
	voided            = "VOIDED"
	declined          = "DECLINED"
	refundFailed      = "REFUND_FAILED"
)

// What may be wanted of an order's money.
const (
	hold = "hold"
	take = "take"
	drop = "drop"
	keep = "keep"
)

// wanted is where an order's money should be, by its status alone.
func wanted(row *ent.Order) string {
	switch lifecycle.Status(row.Status) {
	case lifecycle.Pending:
		return hold
	case lifecycle.Shipped, lifecycle.Completed:
		return take
	case lifecycle.Cancelled, lifecycle.Failed:
		return drop
	default:
		return keep
	}
}

// afterAll is the cause in the event of a refund that had been given up and
// succeeded all the same, the last of its order's.
const afterAll = "after-all"

// refundable is what can still go back.
func refundable(row *ent.Order) int64 { return row.Captured - row.Refunded - row.Refunding }

// pay records what became of the order's money, as the book has it.
func (c *change) pay(book Book, event string, amount int64, code, detail string) error {
	row := c.row
	onItsWay, failures := book.Refunds(row.ID)
	row.Refunding = onItsWay
	switch event {
	case typeAuthorized:
		row.PaymentStatus = authorized
	case typeDeclined:
		row.PaymentStatus = declined
	case typeVoided:
		row.PaymentStatus = voided
	case typeCaptured:
		row.PaymentStatus = captured
		row.Captured += amount
	case typeRefunded:
		row.Refunded += amount
		row.PaymentStatus = partiallyRefunded
		if row.Refunded == row.Captured {
			row.PaymentStatus = refunded
		}
	case typeRefundFailed:
		row.PaymentStatus = refundFailed
	}
	about := in(row, amount)
	d := Data{Payment: payment(row, &about, code, detail)}
	if event == typeRefunded && failures == 0 && deref(row.Stalled) == "refund" {
		d.Cause = afterAll
	}
	return c.note(event, d)
}

// payment shows an order's money as events carry it.
func payment(row *ent.Order, about *money.Money, code, detail string) *Payment {
	return &Payment{
		Status: row.PaymentStatus, Amount: about, Code: code, Detail: detail,
		Captured: in(row, row.Captured), Refunded: in(row, row.Refunded), Refunding: in(row, row.Refunding),
	}
}
