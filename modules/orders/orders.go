// Package orders accepts orders, processes them and shows their state.
//
// The events of an order are the source of truth and its row is a projection of them: every
// change locks the row, lets the aggregate decide (lifecycle), and writes row and events in one
// unit of work. The hot paths, placing and advancing, batch the requests of concurrent callers into
// one such transaction, and reads of single orders share their statements (platform/batch).
package orders

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/batch"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Catalogue provides the names and prices of products.
type Catalogue interface {
	// Offers may read from a cache; version is the version of the catalogue that it read.
	Offers(ctx context.Context, skus []string) (offer func(sku string) (name string, price money.Money, active, ok bool), version int64, err error)
	// OffersIn reads from the database, in tx.
	OffersIn(ctx context.Context, tx pgx.Tx, skus []string) (offer func(sku string) (name string, price money.Money, active, ok bool), version int64, err error)
	// QueueVersion queues a query for the current version of the catalogue.
	QueueVersion(b *pgx.Batch, version *int64)
}

// Stock manages the stock and its reservations. All calls are idempotent.
type Stock interface {
	// Reserve reserves quantities[i] of skus[i] for orders[i], all or nothing for each order,
	// and returns the missing skus of the orders that got nothing.
	Reserve(ctx context.Context, tx pgx.Tx, orders []uuid.UUID, skus []string, quantities []int64) (short map[uuid.UUID][]string, err error)
	// Available returns the units that could be reserved now: nil if the stock is not tracked;
	// unknown skus are absent.
	Available(ctx context.Context, skus []string) (map[string]*int64, error)
	// Release releases the reservations of the orders and returns them.
	Release(ctx context.Context, tx pgx.Tx, orders []uuid.UUID) (released map[uuid.UUID]map[string]int64, err error)
	// Ship subtracts the reserved units of the orders from the stock and returns them.
	Ship(ctx context.Context, tx pgx.Tx, by identity.Actor, orders []uuid.UUID) (shipped map[uuid.UUID]map[string]int64, err error)
}

// Settlement manages the payments of some orders within one transaction, which holds the locks
// of these orders.
type Settlement interface {
	// Next returns the next request to the payment provider on the way to a goal, or nil.
	Next(order uuid.UUID, goal settlement.Goal) settlement.Call
	// Apply executes a command and returns what it changed.
	Apply(order uuid.UUID, c settlement.Command) (settlement.Change, error)
	// Declined returns why an order's last payment was declined, or nil.
	Declined(order uuid.UUID) *settlement.Decline
	// Queue queues the statements that write the changes.
	Queue(b *pgx.Batch)
}

// Deps are the dependencies of the module. All are required except CurrentCaller and Metrics.
type Deps struct {
	Pool      *postgres.Pool
	Queue     *queue.Client // inserts
	Events    *events.Log
	Catalogue Catalogue
	Stock     Stock
	// Open queues the queries for the orders' payments. They must follow the statement that
	// locks the orders.
	Open        func(b *pgx.Batch, orders []uuid.UUID) Settlement
	NeedsMethod bool // whether an order must have a payment method
	// CheckAmount returns why the payment provider will never take an amount, or "". If it is nil, every
	// amount can be paid.
	CheckAmount    func(money.Money) string
	ReservationTTL time.Duration // how long the stock of an unpaid order stays reserved (SPEC D7)
	// OwnerCancelsUntil is the status that ends the time in which owners cancel their orders:
	// lifecycle.Shipped, also if it is empty, or lifecycle.Processing.
	OwnerCancelsUntil lifecycle.Status
	InFlight          *idempotency.InFlight
	Reads             *reads.Reads // limits expensive reads per account
	// Budget limits the orders that an account places. Without one there is no limit.
	Budget Budget
	// CurrentCaller returns the current caller of a credential. If it is nil, the caller that
	// was authenticated at the start of a request stays valid.
	CurrentCaller func(ctx context.Context, credential uuid.UUID) (identity.Caller, error)
	Wake          func() // called after a commit with events, to wake the consumers
	Log           *slog.Logger
	Metrics       prometheus.Registerer
}

// Module is the orders module.
type Module struct {
	Deps
	placing   *batch.Batcher[*placement, idempotency.Result[Order]]
	advancing *batch.Batcher[advanceRequest, request]
	getting   *batch.Batcher[uuid.UUID, storage.Full]
	metrics   metrics
	exports   exports
	steps     []Step

	priorities priorities
}

func db(q postgres.Querier) *ent.Client {
	return ent.On(q)
}
