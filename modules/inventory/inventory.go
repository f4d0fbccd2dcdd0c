// Package inventory holds the catalogue and the stock: what can be ordered, what
// it costs, how much there is, who holds how much of it and why that changed.
//
// What is reserved is counted in the product's own row, beside what is on hand,
// and the database checks that one never exceeds the other. Every writer locks
// product rows in sku order first, so a unit is never sold twice and no mix of
// writers dead-locks (SPEC B2, B3). Products are locked before the catalogue row.
package inventory

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Deps is what the module needs. Pool and InFlight are required.
type Deps struct {
	Pool     *postgres.Pool
	InFlight *idempotency.InFlight
	// Changed is called after a change of the catalogue has been committed, to
	// tell the other nodes; they answer with Forget. It must not block.
	Changed func()
	Log     *slog.Logger // default: slog.Default()
}

// Module is safe for concurrent use.
type Module struct {
	pool    *postgres.Pool
	running *idempotency.InFlight
	changed func()
	log     *slog.Logger
	prices  *cache
}

// New makes the module; it touches nothing yet.
func New(d Deps) *Module {
	m := &Module{pool: d.Pool, running: d.InFlight, changed: d.Changed, log: d.Log}
	if m.changed == nil {
		m.changed = func() {}
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	m.prices = newCache(func(ctx context.Context, skus []string) (snapshot, error) {
		return readOffers(ctx, m.pool, skus)
	})
	return m
}

// Forget makes the next Offers look at the catalogue's version before it trusts
// its memory. Call it when another node says that it changed the catalogue.
func (m *Module) Forget() { m.prices.forget() }

// published tells this node and the others that prices may have changed. A
// commit whose outcome is unknown counts as one.
func (m *Module) published(err error) {
	var commit *postgres.CommitError
	if err == nil || errors.As(err, &commit) {
		m.prices.forget()
		m.changed()
	}
}

// bump says that a name, a price or an activity changed. It comes last in a
// transaction: the one row is locked until the commit.
func bump(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `update catalogue set version = version + 1`)
	return err
}
