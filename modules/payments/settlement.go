package payments

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// The states of a payment.
const (
	authorizing = "authorizing" // stored before the provider is called
	authorized  = "authorized"
	captured    = "captured"
	voided      = "voided"
	declined    = "declined"
	abandoned   = "abandoned" // an administrator has decided not to pursue it
)

// The states of a refund; a failed one can be retried.
const (
	pending = "pending"
	done    = "done"
	failed  = "failed"
)

// payment is one payment attempt of an order.
type payment struct {
	id, order         uuid.UUID
	provider          string
	method            *string
	currency          string
	amount            int64
	state             string
	reference         string
	code, detail      *string
	createdAt, writes time.Time // writes: the time of a change in this transaction, or zero
}

func (p *payment) key(step string) string { return p.id.String() + ":" + step }

func (p *payment) money() money.Money { return money.Money{Amount: p.amount, Currency: p.currency} }

func (p *payment) live() bool { return p.state == authorizing || p.state == authorized }

func (p *payment) authorization() Authorization {
	a := Authorization{Key: p.key(authorize), OrderID: p.order, Amount: p.money()}
	if p.method != nil {
		a.Method = *p.method
	}
	return a
}

// refund is a refund of a captured payment.
type refund struct {
	id, order, payment uuid.UUID
	currency           string
	amount             int64
	items              map[string]int64 // units by sku, if it was requested by lines
	reason             string
	state              string
	reference          *string
	code, detail       *string
	actor              string
	createdAt          time.Time
	writes             time.Time
}

func (r *refund) money() money.Money { return money.Money{Amount: r.amount, Currency: r.currency} }

// Settlement has the payments and refunds of some orders within one transaction, which holds the
// locks of these orders. It reads in the batch of Open, decides in memory, and writes in the
// batch of Queue.
type Settlement struct {
	m         *Module
	payments  map[uuid.UUID][]*payment // by order, oldest first
	refunds   map[uuid.UUID][]*refund
	begun     []*payment
	changed   []*payment
	asked     []*refund
	moved     []*refund
	transfers []transfer
}

// Open queues the queries that fill the returned Settlement. The batch must lock the orders first.
func (m *Module) Open(b *pgx.Batch, orders []uuid.UUID) *Settlement {
	s := &Settlement{m: m, payments: map[uuid.UUID][]*payment{}, refunds: map[uuid.UUID][]*refund{}}
	s.queueRead(b, orders)
	return s
}

// begin records that an order's total is to be authorized.
func (s *Settlement) begin(order uuid.UUID, total money.Money, method *string) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make a payment id: %w", err)
	}
	p := &payment{
		id: id, order: order, provider: s.m.provider.Name(), method: method,
		currency: total.Currency, amount: total.Amount, state: authorizing, createdAt: events.Now(),
	}
	s.payments[order] = append(s.payments[order], p)
	s.begun = append(s.begun, p)
	return nil
}

// Next returns the next request to the provider on the way to a goal, or nil. A payment that
// was replaced by a newer one is always voided, and requested refunds are always due.
func (s *Settlement) Next(order uuid.UUID, goal settlement.Goal) settlement.Call {
	list := s.payments[order]
	for i, p := range list {
		last := i == len(list)-1
		switch {
		case p.live() && (goal == settlement.Void || !last):
			return s.call(void, p, nil)
		case p.state == authorizing && goal == settlement.Authorize:
			return s.call(authorize, p, nil)
		case p.state == authorized && goal == settlement.Capture:
			return s.call(capture, p, nil)
		}
	}
	for _, r := range s.refunds[order] {
		if r.state == pending {
			return s.call(giveBack, s.payment(order, r.payment), r)
		}
	}
	return nil
}

func (s *Settlement) call(step settlement.Step, p *payment, r *refund) *call {
	return &call{step: step, payment: *p, refund: r, provider: s.m.provider}
}
