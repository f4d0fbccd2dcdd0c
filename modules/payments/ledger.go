package payments

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// The accounts of the ledger. An authorisation is a claim against the provider and a liability
// to the buyer until it is captured or voided. Captured money is an asset at the provider and a
// sale.
const (
	accountHolds    = "authorized-funds"
	accountPromises = "customer-holds"
	accountProvider = "provider-balance"
	accountSales    = "sales"
	accountReturns  = "refunds"
)

// transfer moves an amount from one account to another.
type transfer struct {
	order, source uuid.UUID
	kind          string
	debit, credit string
	amount        int64
	currency      string
	at            time.Time
}

func queueTransfers(b *pgx.Batch, list []transfer) {
	n := len(list)
	if n == 0 {
		return
	}
	orders, sources, kinds := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]string, n)
	debits, credits, currencies := make([]string, n), make([]string, n), make([]string, n)
	amounts, at := make([]int64, n), make([]time.Time, n)
	for i, t := range list {
		orders[i], sources[i], kinds[i] = t.order, t.source, t.kind
		debits[i], credits[i], currencies[i], amounts[i], at[i] = t.debit, t.credit, t.currency, t.amount, t.at
	}
	b.Queue(`
		insert into ledger (order_id, source, kind, debit, credit, amount, currency, at)
		select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::timestamptz[])`,
		orders, sources, kinds, debits, credits, amounts, currencies, at)
}

// LedgerEntry is the debit or the credit of a transfer. Both have the same amount, so the sums
// of debits and credits are always equal.
type LedgerEntry struct {
	ID        string        `json:"id" doc:"Both entries of a transfer have the same id, apart from the suffix"`
	At        jsontime.Time `json:"at"`
	Type      string        `json:"type" enum:"authorize,void,settle,capture,refund"`
	Source    uuid.UUID     `json:"source" doc:"The id of the payment or refund"`
	Account   string        `json:"account" enum:"authorized-funds,customer-holds,provider-balance,sales,refunds"`
	Direction string        `json:"direction" enum:"debit,credit"`
	Amount    money.Money   `json:"amount"`
}

func (m *Module) ledger(ctx context.Context, order uuid.UUID) ([]LedgerEntry, error) {
	rows, err := m.pool.Query(ctx, `
		select kind, source, debit, credit, amount, currency, at from ledger where order_id = $1
		order by at, kind = 'capture', source`, order) // an authorisation is cleared before the capture
	if err != nil {
		return nil, wrap("ledger", order, err)
	}
	list := []LedgerEntry{}
	var t transfer
	_, err = pgx.ForEachRow(rows, []any{&t.kind, &t.source, &t.debit, &t.credit, &t.amount, &t.currency, &t.at}, func() error {
		id := t.source.String() + ":" + t.kind
		e := LedgerEntry{
			ID: id + ":debit", At: jsontime.At(t.at), Type: t.kind, Source: t.source,
			Account: t.debit, Direction: "debit", Amount: money.Money{Amount: t.amount, Currency: t.currency},
		}
		list = append(list, e)
		e.ID, e.Account, e.Direction = id+":credit", t.credit, "credit"
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, wrap("ledger", order, err)
	}
	return list, nil
}
