package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Refund requests a refund of an amount, or of the price of units[i] of skus[i]. The sum of an
// order's refunds never exceeds the captured amount, even with concurrent requests (SPEC C8). A
// job makes the refund at the provider. The value is the refund as payments renders it.
func (m *Module) Refund(ctx context.Context, caller identity.Caller, id uuid.UUID, amount *money.Money, skus []string, units []int64, reason string, key idempotency.Key[settlement.Refund]) (idempotency.Result[settlement.Refund], error) {
	if (amount == nil) == (len(skus) == 0) {
		return idempotency.Result[settlement.Refund]{}, fault.Invalid(fault.Field{Pointer: "/amount", Code: "one-of", Message: "exactly one of amount and items is required"})
	}
	key.Still = stillVisible[settlement.Refund](caller, id, false, nil)
	return answer(ctx, m, caller, id, nil, key, func(_ context.Context, u *unitOfWork, o *lockedOrder) (settlement.Refund, error) {
		return u.refund(o, amount, skus, units, reason)
	})
}

func (u *unitOfWork) refund(o *lockedOrder, amount *money.Money, skus []string, units []int64, reason string) (settlement.Refund, error) {
	if o.Payment.Captured == 0 {
		return nil, fault.New(fault.KindConflict, "nothing-captured", "No payment of this order was captured, so there is nothing to refund.").
			With("paymentStatus", o.Payment.Status)
	}
	var (
		sum   int64
		items map[string]int64
		err   error
	)
	if amount != nil {
		sum, err = o.amountOf(*amount)
	} else {
		items, sum, err = o.priceOf(skus, units)
	}
	if err != nil {
		return nil, err
	}
	if left := o.Refundable(); sum > left {
		return nil, fault.New(fault.KindConflict, "refund-exceeds-captured", "At most %d %s can still be refunded.", left, o.Currency).
			With("refundable", left)
	}
	change, err := u.settle(o, settlement.RequestRefund{
		Amount: sum, Items: items, Ordered: o.ordered(), Reason: reason, By: u.caller.Actor(),
	})
	if err != nil {
		return nil, err
	}
	o.Schedule()
	return change.Refund, nil
}

func (o *lockedOrder) amountOf(m money.Money) (int64, error) {
	if m.Currency != o.Currency {
		return 0, fault.Invalid(fault.Field{Pointer: "/amount/currency", Code: "currency-mismatch", Message: "must be the currency of the order, " + o.Currency})
	}
	if m.Amount <= 0 {
		return 0, fault.Invalid(fault.Field{Pointer: "/amount/amount", Code: "minimum", Message: "must be greater than zero"})
	}
	return m.Amount, nil
}

// priceOf returns the total price of units of the order's skus, at the prices of the order.
func (o *lockedOrder) priceOf(skus []string, units []int64) (items map[string]int64, total int64, err error) {
	prices := map[string]int64{}
	for _, l := range o.lines {
		prices[l.SKU] = l.UnitPrice.Amount
	}
	ordered := o.ordered()
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
		total += price * units[i] // cannot overflow: it is at most the order's total
	}
	if len(faults) > 0 {
		return nil, 0, fault.Invalid(faults...)
	}
	if total == 0 {
		return nil, 0, fault.Invalid(fault.Field{Pointer: "/items", Code: "minimum", Message: "have a total of zero, so there is nothing to refund"})
	}
	return items, total, nil
}

// ordered returns the ordered units by sku.
func (o *lockedOrder) ordered() map[string]int64 {
	units := map[string]int64{}
	for _, item := range sumBySKU(o.lines) {
		units[item.SKU] = item.Quantity
	}
	return units
}
