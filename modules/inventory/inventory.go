// Package inventory manages the catalogue and the stock: products, prices, units on hand,
// reservations and movements.
//
// The product's row has both the stock and the reserved units, and a constraint ensures that
// the latter never exceed the former. Every writer first locks product rows in sku order, so a
// unit is never sold twice and writers do not deadlock (SPEC B2, B3). Products are locked
// before the catalogue row.
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
	// Changed is called after a change of the catalogue was committed, to notify the other
	// nodes, which call Forget. It must not block.
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

// New returns the module. It starts no goroutine.
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

// Forget makes the next Offers check the catalogue's version before it uses the cache. Call it
// when another node has changed the catalogue.
func (m *Module) Forget() { m.prices.forget() }

// published notifies this node and the others that prices may have changed. It is also called
// if the outcome of the commit is unknown.
func (m *Module) published(err error) {
	var commit *postgres.CommitError
	if err == nil || errors.As(err, &commit) {
		m.prices.forget()
		m.changed()
	}
}

// bump increments the catalogue's version after a change of a name, a price or an active flag.
// It comes last in a transaction, because its single row stays locked until the commit.
func bump(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `update catalogue set version = version + 1`)
	return err
}
