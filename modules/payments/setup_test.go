package payments

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

// till is a provider with configured responses that counts its calls.
type till struct {
	err   error
	asked int
}

func (*till) Name() string      { return "till" }
func (*till) NeedsMethod() bool { return true }

func (p *till) Authorize(context.Context, Authorization) (string, error) {
	p.asked++
	return "ref", p.err
}
func (p *till) Capture(context.Context, Capture) error         { p.asked++; return p.err }
func (p *till) Void(context.Context, Void) error               { p.asked++; return p.err }
func (p *till) Refund(context.Context, Refund) (string, error) { p.asked++; return "back", p.err }

// bench has the settlement of one order.
type bench struct {
	*Settlement
	t     testing.TB
	order uuid.UUID
	till  *till
}

func newBench(t testing.TB) *bench {
	p := &till{}
	m := New(Deps{Provider: p})
	return &bench{Settlement: m.Open(&pgx.Batch{}, nil), t: t, order: uuid.Must(uuid.NewV7()), till: p}
}

// do carries out a command that must not be refused.
func (b *bench) do(c settlement.Command) settlement.Change {
	b.t.Helper()
	change, err := b.Apply(b.order, c)
	if err != nil {
		b.t.Fatal(err)
	}
	return change
}

// begin adds a payment of 1000 in a state.
func (b *bench) begin(state string) *payment {
	b.t.Helper()
	b.do(settlement.Begin{Total: money.Money{Amount: 1000, Currency: "EUR"}, Method: new("pm")})
	list := b.payments[b.order]
	p := list[len(list)-1]
	p.state = state
	if state == authorized || state == captured || state == voided {
		p.reference = "ref"
	}
	return p
}

// back adds a refund of so much in a state, of the last payment.
func (b *bench) back(amount int64, state string, items map[string]int64) *refund {
	b.t.Helper()
	b.do(settlement.RequestRefund{Amount: amount, Items: items, Ordered: map[string]int64{"A": 3}, Reason: "broken", By: "admin:x"})
	list := b.refunds[b.order]
	r := list[len(list)-1]
	r.state = state
	return r
}

// balance is what is on each account: debits less credits.
func (b *bench) balance() map[string]int64 {
	sums := map[string]int64{}
	for _, t := range b.transfers {
		sums[t.debit] += t.amount
		sums[t.credit] -= t.amount
	}
	for account, sum := range sums {
		if sum == 0 {
			delete(sums, account)
		}
	}
	return sums
}

func open(t *testing.T) *Module {
	t.Helper()
	pool, err := postgres.Open(t.Context(), pgtest.URL(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return New(Deps{Pool: pool, Provider: &till{}})
}

// within does something to the settlement of an order in a transaction of its own.
func (m *Module) within(t *testing.T, order uuid.UUID, do func(s *Settlement)) {
	t.Helper()
	err := postgres.InTx(t.Context(), m.pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		s := m.Open(b, []uuid.UUID{order})
		if err := tx.SendBatch(t.Context(), b).Close(); err != nil {
			return err
		}
		do(s)
		b = &pgx.Batch{}
		s.Queue(b)
		return tx.SendBatch(t.Context(), b).Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}
