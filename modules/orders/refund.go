package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Refund asks for money to go back: amount, or what units[i] of skus[i] cost. All
// refunds of an order together never exceed what was captured, however many are
// asked for at once (SPEC C8). The money itself goes back by a durable job. The
// value is the refund as the Book shows it.
func (m *Module) Refund(ctx context.Context, caller identity.Caller, id uuid.UUID, amount *money.Money, skus []string, units []int64, reason string, key idempotency.Key[RefundView]) (idempotency.Result[RefundView], error) {
	if (amount == nil) == (len(skus) == 0) {
		return idempotency.Result[RefundView]{}, fault.Unprocessable(fault.Field{Pointer: "/amount", Code: "one-of", Message: "give either amount or items"})
	}
	key.Still = stillVisible[RefundView](m, caller, id, false, nil)
	return answer(ctx, m, caller, id, nil, key, func(_ context.Context, a *act) (RefundView, error) {
		return a.refund(amount, skus, units, reason)
	})
}

func (a *act) refund(amount *money.Money, skus []string, units []int64, reason string) (RefundView, error) {
	row := a.c.row
	if row.Captured == 0 {
		return nil, fault.New(fault.Conflict, "nothing-captured", "No money was taken for this order, so none can go back.").
			With("paymentStatus", row.PaymentStatus)
	}
	var (
		sum   int64
		items map[string]int64
		err   error
	)
	if amount != nil {
		sum, err = a.amountOf(*amount)
	} else {
		items, sum, err = a.priceOf(skus, units)
	}
	if err != nil {
		return nil, err
	}
	if left := refundable(row); sum > left {
		return nil, fault.New(fault.Conflict, "refund-exceeds-captured", "At most %d %s can still be refunded.", left, row.Currency).
			With("refundable", left)
	}

	refund, err := a.w.book.Refund(row.ID, sum, items, a.ordered(), reason, a.caller.Actor())
	if err != nil {
		return nil, err
	}
	a.c.owe()
	return refund, a.c.pay(a.w.book, typeRefundRequested, sum, "", "")
}

func (a *act) amountOf(m money.Money) (int64, error) {
	if m.Currency != a.c.row.Currency {
		return 0, fault.Unprocessable(fault.Field{Pointer: "/amount/currency", Code: "currency-mismatch", Message: "the order is in " + a.c.row.Currency})
	}
	if m.Amount <= 0 {
		return 0, fault.Unprocessable(fault.Field{Pointer: "/amount/amount", Code: "minimum", Message: "must be above zero"})
	}
	return m.Amount, nil
}

// priceOf adds up what units of the order's skus cost, as they were ordered.
func (a *act) priceOf(skus []string, units []int64) (items map[string]int64, total int64, err error) {
	prices := map[string]int64{}
	for _, l := range a.w.lines[a.c.row.ID] {
		prices[l.SKU] = l.UnitPrice.Amount
	}
	ordered := a.ordered()
	var faults []fault.Field
	refuse := func(i int, member, code, message string) {
		faults = append(faults, fault.Field{Pointer: fmt.Sprintf("/items/%d/%s", i, member), Code: code, Message: message})
	}
	items = map[string]int64{}
	for i, sku := range skus {
		price, there := prices[sku]
		if !there {
			refuse(i, "sku", "unknown-sku", "is not in the order")
			continue
		}
		items[sku] += units[i]
		if items[sku] > ordered[sku] {
			refuse(i, "quantity", "maximum", fmt.Sprintf("only %d were ordered", ordered[sku]))
			continue
		}
		total += price * units[i] // at most the order's total, which fits
	}
	if len(faults) > 0 {
		return nil, 0, fault.Unprocessable(faults...)
	}
	if total == 0 {
		return nil, 0, fault.Unprocessable(fault.Field{Pointer: "/items", Code: "minimum", Message: "cost nothing, so there is nothing to refund"})
	}
	return items, total, nil
}

func (a *act) ordered() map[string]int64 {
	units := map[string]int64{}
	for _, item := range sum(a.w.lines[a.c.row.ID]) {
		units[item.SKU] = item.Quantity
	}
	return units
}
