package payments

import (
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Apply executes a command on the payments of one order and returns what it changed.
func (s *Settlement) Apply(order uuid.UUID, c settlement.Command) (change settlement.Change, err error) {
	switch c := c.(type) {
	case settlement.Begin:
		err = s.begin(order, c.Total, c.Method)
	case settlement.Answer:
		change, err = s.answer(c.Call)
	case settlement.Exhausted:
		change, err = s.fail(c.Call, c.Cause)
	case settlement.RequestRefund:
		change, err = s.requestRefund(order, c)
	case settlement.RetryRefunds:
		change.Amount = s.retry(order, c)
	case settlement.Abandon:
		s.abandon(order)
	default:
		err = fmt.Errorf("payments know no command %T", c)
	}
	change.Refunding, change.FailedRefunds = s.refundTotals(order)
	return change, err
}

// madeHere returns a call as this package made it.
func madeHere(c settlement.Call) (*call, error) {
	made, ok := c.(*call)
	if !ok {
		return nil, fmt.Errorf("payments made no call %T", c)
	}
	return made, nil
}

// answer applies the result of a call. Two workers may have made the same call; the later
// result changes nothing.
func (s *Settlement) answer(c settlement.Call) (settlement.Change, error) {
	asked, err := madeHere(c)
	if err != nil {
		return settlement.Change{}, err
	}
	p := s.payment(asked.payment.order, asked.payment.id)
	if p == nil {
		return settlement.Change{}, nil
	}
	switch {
	case asked.step == authorize && p.state == authorizing && asked.declined != nil:
		return s.decline(p, asked.declined), nil //nolint:nilerr // a decline is an answer
	case asked.step == authorize && p.state == authorizing:
		p.reference = asked.reference
		s.move(p, authorized)
		s.transfer(p, p.id, authorize, p.amount, accountHolds, accountPromises)
		return settlement.Change{Outcome: settlement.Authorized, Amount: p.amount}, nil
	// An administrator may have abandoned the call while it was in progress. Its effect counts
	// nevertheless.
	case asked.step == capture && (p.state == authorized || p.state == abandoned):
		s.move(p, captured)
		s.transfer(p, p.id, "settle", p.amount, accountPromises, accountHolds)
		s.transfer(p, p.id, capture, p.amount, accountProvider, accountSales)
		return settlement.Change{Outcome: settlement.Captured, Amount: p.amount}, nil
	case asked.step == void && (p.live() || p.state == abandoned):
		if p.reference != "" { // it was authorized
			s.transfer(p, p.id, void, p.amount, accountPromises, accountHolds)
		}
		s.move(p, voided)
		return settlement.Change{Outcome: settlement.Voided, Amount: p.amount}, nil
	case asked.step == giveBack:
		return s.refunded(p, asked), nil
	}
	return settlement.Change{}, nil
}

func (s *Settlement) decline(p *payment, d *Declined) settlement.Change {
	p.code, p.detail = &d.Code, &d.Detail
	s.move(p, declined)
	return settlement.Change{
		Outcome: settlement.Declined, Amount: p.amount, Decline: &settlement.Decline{Code: d.Code, Detail: d.Detail},
	}
}

func (s *Settlement) refunded(p *payment, asked *call) settlement.Change {
	r := s.refund(p.order, asked.refund.id)
	if r == nil || r.state == done || r.state != pending && !s.fits(p, r) {
		return settlement.Change{}
	}
	// The refund was made, even if it was marked as failed meanwhile.
	r.reference, r.code, r.detail = &asked.reference, nil, nil
	s.moveRefund(r, done)
	s.transfer(p, r.id, giveBack, r.amount, accountReturns, accountProvider)
	return settlement.Change{Outcome: settlement.Refunded, Amount: r.amount}
}

// Declined returns why an order's last payment was declined, or nil if it was not.
func (s *Settlement) Declined(order uuid.UUID) *settlement.Decline {
	list := s.payments[order]
	if len(list) == 0 || list[len(list)-1].state != declined {
		return nil
	}
	p := list[len(list)-1]
	return &settlement.Decline{Code: *p.code, Detail: *p.detail}
}

// fits reports whether a late success counts: all refunds together must stay
// within the captured amount. Otherwise the provider refuses one of the others.
func (s *Settlement) fits(p *payment, late *refund) bool {
	left := p.amount
	for _, r := range s.refunds[p.order] {
		if r.state == pending || r.state == done {
			left -= r.amount
		}
	}
	return late.amount <= left
}

// refundTotals returns the sum of an order's pending refunds, and how many have
// failed and wait for an administrator.
func (s *Settlement) refundTotals(order uuid.UUID) (refunding int64, failures int) {
	for _, r := range s.refunds[order] {
		switch r.state {
		case pending:
			refunding += r.amount
		case failed:
			failures++
		}
	}
	return refunding, failures
}

// fail ends a refund that the provider rejects or that exhausted its attempts. Any other call
// stays due until an administrator decides.
func (s *Settlement) fail(c settlement.Call, cause error) (settlement.Change, error) {
	asked, err := madeHere(c)
	if err != nil || asked.step != giveBack {
		return settlement.Change{}, err
	}
	r := s.refund(asked.payment.order, asked.refund.id)
	if r == nil || r.state != pending {
		return settlement.Change{}, nil
	}
	r.code = new("provider-error")
	if rejected, ok := errors.AsType[*Rejected](cause); ok {
		r.code, r.detail = &rejected.Code, &rejected.Detail
	}
	s.moveRefund(r, failed)
	return settlement.Change{Outcome: settlement.RefundFailed, Amount: r.amount}, nil
}

// requestRefund records a refund of the captured payment. The caller has checked the amount;
// more units than ordered are rejected.
func (s *Settlement) requestRefund(order uuid.UUID, c settlement.RequestRefund) (settlement.Change, error) {
	var paid *payment
	for _, p := range s.payments[order] {
		if p.state == captured {
			paid = p
		}
	}
	if paid == nil {
		return settlement.Change{}, fmt.Errorf("refund order %s: nothing was captured", order)
	}
	if err := s.covers(order, c.Items, c.Ordered); err != nil {
		return settlement.Change{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return settlement.Change{}, fmt.Errorf("make a refund id: %w", err)
	}
	r := &refund{
		id: id, order: order, payment: paid.id, currency: paid.currency, amount: c.Amount, items: c.Items,
		reason: c.Reason, state: pending, actor: string(c.By), createdAt: events.Now(),
	}
	s.refunds[order] = append(s.refunds[order], r)
	s.asked = append(s.asked, r)
	return settlement.Change{Outcome: settlement.RefundRequested, Amount: c.Amount, Refund: renderRefund(r)}, nil
}

// covers reports whether the units of each sku are not refunded yet.
func (s *Settlement) covers(order uuid.UUID, items, ordered map[string]int64) error {
	left := maps.Clone(ordered)
	for _, r := range s.refunds[order] {
		if r.state == pending || r.state == done {
			for sku, n := range r.items {
				left[sku] -= n
			}
		}
	}
	for sku, n := range items {
		if n > left[sku] {
			return fault.New(fault.KindConflict, "refund-exceeds-order", "At most %[2]d units of %[1]s can still be refunded.", sku, max(left[sku], 0)).
				With("sku", sku).With("refundable", max(left[sku], 0))
		}
	}
	return nil
}

// retry makes failed refunds due again, as far as the amount covers them and their
// units were not refunded since, and returns their sum.
func (s *Settlement) retry(order uuid.UUID, c settlement.RetryRefunds) (amount int64) {
	for _, r := range s.refunds[order] {
		if r.state == failed && r.amount <= c.Left-amount && s.covers(order, r.items, c.Ordered) == nil {
			r.code, r.detail = nil, nil
			s.moveRefund(r, pending)
			amount += r.amount
		}
	}
	return amount
}

// abandon ends everything that is not settled, by decision of an administrator.
func (s *Settlement) abandon(order uuid.UUID) {
	for _, p := range s.payments[order] {
		if p.live() {
			s.move(p, abandoned)
		}
	}
	for _, r := range s.refunds[order] {
		if r.state == failed {
			s.moveRefund(r, abandoned)
		}
	}
}

func (s *Settlement) move(p *payment, state string) {
	if p.writes.IsZero() {
		s.changed = append(s.changed, p)
	}
	p.state, p.writes = state, events.Now()
}

func (s *Settlement) moveRefund(r *refund, state string) {
	if r.writes.IsZero() {
		s.moved = append(s.moved, r)
	}
	r.state, r.writes = state, events.Now()
}

func (s *Settlement) transfer(p *payment, source uuid.UUID, kind string, amount int64, debit, credit string) {
	s.transfers = append(s.transfers, transfer{
		order: p.order, source: source, kind: kind, debit: debit, credit: credit, amount: amount, currency: p.currency, at: events.Now(),
	})
}

func (s *Settlement) payment(order, id uuid.UUID) *payment {
	for _, p := range s.payments[order] {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (s *Settlement) refund(order, id uuid.UUID) *refund {
	for _, r := range s.refunds[order] {
		if r.id == id {
			return r
		}
	}
	return nil
}
