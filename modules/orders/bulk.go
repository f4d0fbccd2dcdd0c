package orders

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// maxBulkLines limits the time that the transaction of one bulk request takes.
const maxBulkLines = 20_000

// BulkOrder is one order of a bulk request, or the fault that was found when it was decoded.
type BulkOrder struct {
	Request OrderRequest
	Fault   *fault.Error
}

// BulkOrderResult is the result of one order of a bulk request: either the order or the
// reason why it was rejected.
type BulkOrderResult struct {
	Order     *Order
	Rejection *fault.Error

	stored []byte // in a replay: the stored JSON of this result; Order then has only its ID
}

// PlaceMany places the orders of a bulk request in one transaction, which also stores the
// response under the idempotency key. After a crash or a repeated request, either all of
// the answered orders exist or none does (SPEC C2, C3, C11).
//
// If atomic is set, all orders are placed or the request fails with every fault. Otherwise
// a rejected order does not affect the others, and the results state which were placed.
//
// If several orders have the same reference, the first one that can be placed gets it.
//
// The request costs its caller as many orders as it has, also those that are rejected (SPEC F13).
func (m *Module) PlaceMany(ctx context.Context, caller identity.Caller, requests []BulkOrder, atomic bool, key idempotency.Key[[]BulkOrderResult]) (idempotency.Result[[]BulkOrderResult], error) {
	key.Still = stillPlacedMany
	return withinBudget(ctx, m, caller, len(requests), key, func() (idempotency.Result[[]BulkOrderResult], error) {
		return m.placeMany(ctx, caller, requests, atomic, key)
	})
}

func (m *Module) placeMany(ctx context.Context, caller identity.Caller, requests []BulkOrder, atomic bool, key idempotency.Key[[]BulkOrderResult]) (idempotency.Result[[]BulkOrderResult], error) {
	validated, err := m.validateAll(ctx, caller, requests)
	if err != nil {
		return idempotency.Result[[]BulkOrderResult]{}, err
	}
	placed := 0
	result, err := idempotency.Do(ctx, m.InFlight, m.Pool, key, func(tx pgx.Tx) ([]BulkOrderResult, error) {
		b := validated.copyFor(atomic)
		if err := m.insertBulk(ctx, tx, b); err != nil {
			return nil, err
		}
		placed = len(b.placed)
		return b.results(), nil
	})
	if isOutcomeUnknown(err) {
		err = outcomeUnknown("Repeat the request with its Idempotency-Key or with the same references.", err)
	}
	if err != nil {
		return idempotency.Result[[]BulkOrderResult]{}, err
	}
	if !result.Replayed && placed > 0 {
		m.metrics.placed.Add(float64(placed))
		m.Wake()
	}
	return result, nil
}

// bulk holds the orders of a bulk request, which share a transaction.
type bulk struct {
	atomic     bool
	orders     []*placement   // nil where the request could not be decoded
	rejections []*fault.Error // by the same index; nil for orders that can be placed
	placed     []*placement
}

// copyFor returns a copy for one attempt of the transaction, which may be retried.
func (b *bulk) copyFor(atomic bool) *bulk {
	return &bulk{atomic: atomic, orders: b.orders, rejections: slices.Clone(b.rejections)}
}

// insertBulk inserts the orders that can be placed and records a rejection for the
// others. It makes four round trips, for any number of orders.
func (m *Module) insertBulk(ctx context.Context, tx pgx.Tx, all *bulk) error {
	if err := m.reprice(ctx, tx, all); err != nil {
		return err
	}
	insertable, duplicates := all.insertable()
	if all.atomic {
		if err := all.rejection(duplicates); err != nil {
			return err
		}
	}

	var inserted []uuid.UUID
	b := &pgx.Batch{}
	queueOrders(b, insertable, &inserted)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert %d orders: %w", len(insertable), err)
	}
	if err := all.classify(ctx, tx, inserted, duplicates); err != nil {
		return err
	}
	if len(all.placed) == 0 {
		return nil
	}
	b = &pgx.Batch{}
	queueRest(b, all.placed)
	storage.QueueCounts(b, storage.PlacedCounts(len(all.placed)))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert the lines of %d orders: %w", len(all.placed), err)
	}
	return m.insertJobs(ctx, tx, all.placed)
}

func (b *bulk) results() []BulkOrderResult {
	list := make([]BulkOrderResult, len(b.orders))
	for i, p := range b.orders {
		if f := b.rejections[i]; f != nil {
			list[i].Rejection = f
		} else {
			list[i].Order = &p.placed.Value
		}
	}
	return list
}
