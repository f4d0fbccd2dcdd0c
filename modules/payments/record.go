package payments

import (
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Record takes the answer to a call and tells what it changes: the event, the
// amount it is about and, for a decline, why. Two workers may have asked the same;
// the later answer is no news.
func (b *Book) Record(c Call) (event string, amount int64, code, detail string, news bool) {
	asked := c.(*call) //nolint:forcetypeassert // every Call is one of ours
	p := b.payment(asked.payment.order, asked.payment.id)
	if p == nil {
		return "", 0, "", "", false
	}
	switch {
	case asked.step == authorize && p.state == authorizing && asked.declined != nil:
		p.code, p.detail = &asked.declined.Code, &asked.declined.Detail
		b.move(p, declined)
		return "payment.declined", p.amount, asked.declined.Code, asked.declined.Detail, true
	case asked.step == authorize && p.state == authorizing:
		p.reference = asked.reference
		b.move(p, authorized)
		b.transfer(p, p.id, authorize, p.amount, accountHolds, accountPromises)
		return "payment.authorized", p.amount, "", "", true
	// A person may have given a call up that was still on its way: what is done counts.
	case asked.step == capture && (p.state == authorized || p.state == forgone):
		b.move(p, captured)
		b.transfer(p, p.id, "settle", p.amount, accountPromises, accountHolds)
		b.transfer(p, p.id, capture, p.amount, accountProvider, accountSales)
		return "payment.captured", p.amount, "", "", true
	case asked.step == void && (p.live() || p.state == forgone):
		if p.reference != "" { // it was authorised
			b.transfer(p, p.id, void, p.amount, accountPromises, accountHolds)
		}
		b.move(p, voided)
		return "payment.voided", p.amount, "", "", true
	case asked.step == giveBack:
		return b.recordRefund(p, asked)
	}
	return "", 0, "", "", false
}

func (b *Book) recordRefund(p *payment, asked *call) (event string, amount int64, code, detail string, news bool) {
	r := b.refund(p.order, asked.refund.id)
	if r == nil || r.state == done || r.state != pending && !b.fits(p, r) {
		return "", 0, "", "", false
	}
	// Given up or not: the money has gone back.
	r.reference, r.code, r.detail = &asked.reference, nil, nil
	b.moveRefund(r, done)
	b.transfer(p, r.id, giveBack, r.amount, accountReturns, accountProvider)
	return "payment.refunded", r.amount, "", "", true
}

// Declined is why an order's last payment was declined, "" when it was not.
func (b *Book) Declined(order uuid.UUID) (code, detail string) {
	list := b.payments[order]
	if len(list) == 0 || list[len(list)-1].state != declined {
		return "", ""
	}
	p := list[len(list)-1]
	return *p.code, *p.detail
}

// fits tells whether there is room beside the other refunds for one that was given
// up. Otherwise the provider has no room either, for one of those others: it fails,
// and then a retry finds this one done.
func (b *Book) fits(p *payment, late *refund) bool {
	left := p.amount
	for _, r := range b.refunds[p.order] {
		if r.state == pending || r.state == done {
			left -= r.amount
		}
	}
	return late.amount <= left
}

// Refunds is what of an order's money is on its way back, and how many refunds
// have failed and wait for a person.
func (b *Book) Refunds(order uuid.UUID) (pendingSum int64, failures int) {
	for _, r := range b.refunds[order] {
		switch r.state {
		case pending:
			pendingSum += r.amount
		case failed:
			failures++
		}
	}
	return pendingSum, failures
}

// Fail ends a refund that the provider will not make, or has not made for too
// long. Any other call stays due, for a person to decide.
func (b *Book) Fail(c Call, cause error) (event string, amount int64, news bool) {
	asked := c.(*call) //nolint:forcetypeassert // every Call is one of ours
	if asked.step != giveBack {
		return "", 0, false
	}
	r := b.refund(asked.payment.order, asked.refund.id)
	if r == nil || r.state != pending {
		return "", 0, false
	}
	r.code = new("provider-error")
	if rejected, ok := errors.AsType[*Rejected](cause); ok {
		r.code, r.detail = &rejected.Code, &rejected.Detail
	}
	b.moveRefund(r, failed)
	return "payment.refund_failed", r.amount, true
}

// Refund records that amount is to go back to whoever paid for the order. The
// caller has seen that so much is left. items are the units by sku that the
// amount is for, nil when it is for no line in particular; more units of a sku
// than were ordered are refused.
func (b *Book) Refund(order uuid.UUID, amount int64, items, ordered map[string]int64, reason string, by identity.Actor) (RefundView, error) {
	var paid *payment
	for _, p := range b.payments[order] {
		if p.state == captured {
			paid = p
		}
	}
	if paid == nil {
		return nil, fmt.Errorf("refund order %s: nothing was captured", order)
	}
	if err := b.covers(order, items, ordered); err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a refund id: %w", err)
	}
	r := &refund{
		id: id, order: order, payment: paid.id, currency: paid.currency, amount: amount, items: items,
		reason: reason, state: pending, actor: string(by), createdAt: events.Now(),
	}
	b.refunds[order] = append(b.refunds[order], r)
	b.asked = append(b.asked, r)
	return renderRefund(r), nil
}

// covers tells whether so many units of each sku are still unrefunded.
func (b *Book) covers(order uuid.UUID, items, ordered map[string]int64) error {
	left := maps.Clone(ordered)
	for _, r := range b.refunds[order] {
		if r.state == pending || r.state == done {
			for sku, n := range r.items {
				left[sku] -= n
			}
		}
	}
	for sku, n := range items {
		if n > left[sku] {
			return fault.New(fault.Conflict, "refund-exceeds-order", "Of %s, %d units can still be refunded.", sku, max(left[sku], 0)).
				With("sku", sku).With("refundable", max(left[sku], 0))
		}
	}
	return nil
}

// Retry makes an order's failed refunds due again, as far as left covers them and
// their units were not refunded since, and returns what they come to.
func (b *Book) Retry(order uuid.UUID, left int64, ordered map[string]int64) (amount int64) {
	for _, r := range b.refunds[order] {
		if r.state == failed && r.amount <= left-amount && b.covers(order, r.items, ordered) == nil {
			r.code, r.detail = nil, nil
			b.moveRefund(r, pending)
			amount += r.amount
		}
	}
	return amount
}

// Abandon gives up whatever is unsettled: a person has decided so.
func (b *Book) Abandon(order uuid.UUID) {
	for _, p := range b.payments[order] {
		if p.live() {
			b.move(p, forgone)
		}
	}
	for _, r := range b.refunds[order] {
		if r.state == failed {
			b.moveRefund(r, forgone)
		}
	}
}

func (b *Book) move(p *payment, state string) {
	if p.writes.IsZero() {
		b.changed = append(b.changed, p)
	}
	p.state, p.writes = state, events.Now()
}

func (b *Book) moveRefund(r *refund, state string) {
	if r.writes.IsZero() {
		b.moved = append(b.moved, r)
	}
	r.state, r.writes = state, events.Now()
}

func (b *Book) transfer(p *payment, source uuid.UUID, kind string, amount int64, debit, credit string) {
	b.transfers = append(b.transfers, transfer{
		order: p.order, source: source, kind: kind, debit: debit, credit: credit, amount: amount, currency: p.currency, at: events.Now(),
	})
}

func (b *Book) payment(order, id uuid.UUID) *payment {
	for _, p := range b.payments[order] {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (b *Book) refund(order, id uuid.UUID) *refund {
	for _, r := range b.refunds[order] {
		if r.id == id {
			return r
		}
	}
	return nil
}
