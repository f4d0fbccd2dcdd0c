// Package orders takes orders, moves them on and tells where they stand.
//
// An order's row is a checkpoint and its events are the truth: every change locks
// the row, lets the aggregate decide (lifecycle), and writes row and events in one
// unit of work. The two hot paths, placing and advancing, gather the requests of
// concurrent callers into one such transaction (platform/batch).
package orders

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/batch"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
	"github.com/orderflow-dev/orderflow/platform/reads"
)

// Catalogue knows what things are called and cost.
type Catalogue interface {
	// Offers may answer from memory; version says of which state.
	Offers(ctx context.Context, skus []string) (offer func(sku string) (name string, price money.Money, active, ok bool), version int64, err error)
	// OffersIn answers from the database, in tx.
	OffersIn(ctx context.Context, tx pgx.Tx, skus []string) (offer func(sku string) (name string, price money.Money, active, ok bool), version int64, err error)
	// QueueVersion asks for the catalogue's present version in a batch of statements.
	QueueVersion(b *pgx.Batch, version *int64)
}

// Stock keeps what is promised to whom. All calls may be repeated without harm.
type Stock interface {
	// Reserve takes quantities[i] of skus[i] for orders[i], all or nothing for each
	// order, and names the skus of those that got nothing.
	Reserve(ctx context.Context, tx pgx.Tx, orders []uuid.UUID, skus []string, quantities []int64) (short map[uuid.UUID][]string, err error)
	// Available tells what could be reserved now: nil is endless, unknown is missing.
	Available(ctx context.Context, skus []string) (map[string]*int64, error)
	// Release gives back what the orders hold and tells what that was.
	Release(ctx context.Context, tx pgx.Tx, orders []uuid.UUID) (released map[uuid.UUID]map[string]int64, err error)
	// Ship takes what the orders hold off the shelf and tells what that was.
	Ship(ctx context.Context, tx pgx.Tx, by identity.Actor, orders []uuid.UUID) (shipped map[uuid.UUID]map[string]int64, err error)
}

// Settlement is the money of some orders within one transaction, behind the locks
// of those orders.
type Settlement interface {
	// Next returns the next request to the payment provider that brings an order's
	// money towards a goal, or nil.
	Next(order uuid.UUID, goal settlement.Goal) settlement.Call
	// Apply carries out a command, and returns what it changed.
	Apply(order uuid.UUID, c settlement.Command) (settlement.Change, error)
	// Declined returns why an order's last payment was declined, or nil.
	Declined(order uuid.UUID) *settlement.Decline
	// Queue writes what was decided.
	Queue(b *pgx.Batch)
}

// Deps is what orders need. All of them are required but CurrentCaller and Metrics.
type Deps struct {
	Pool      *postgres.Pool
	Queue     *queue.Client // inserts
	Events    *events.Log
	Catalogue Catalogue
	Stock     Stock
	// Open queues the reading of the orders' money, behind the statement that locks them.
	Open           func(b *pgx.Batch, orders []uuid.UUID) Settlement
	NeedsMethod    bool          // an order must say what pays
	ReservationTTL time.Duration // how long stock is kept for an order that is not paid (SPEC D7)
	InFlight       *idempotency.InFlight
	Reads          *reads.Reads // bounds the statistics of one account
	// CurrentCaller tells who a credential's caller is now; nil believes what was proven once.
	CurrentCaller func(ctx context.Context, credential uuid.UUID) (identity.Caller, error)
	Wake          func() // after a commit with events: tells the readers to look
	Log           *slog.Logger
	Metrics       prometheus.Registerer
}

// Module is the orders module.
type Module struct {
	Deps
	placing   *batch.Batcher[*placement, idempotency.Result[Order]]
	advancing *batch.Batcher[advanceRequest, request]
	metrics   metrics
	exports   exports
	steps     []Step
}

func db(q postgres.Querier) *ent.Client {
	return ent.On(q)
}
