package orders

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/batch"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// getters is the number of batches of reads that run at once: while one is on its way to the
// database and back, the server works on the other.
const getters = 2

// Get reads one order for a caller. Concurrent calls share their statements: a batch reads each
// order once, and the right to see it is checked for each caller.
func (m *Module) Get(ctx context.Context, caller identity.Caller, id uuid.UUID) (Order, error) {
	full, err := m.getting.Do(ctx, id)
	switch {
	case errors.Is(err, batch.ErrBusy), errors.Is(err, batch.ErrStopped):
		return Order{}, fault.Unavailable("The database", err)
	case errors.Is(err, batch.ErrOutcomeUnknown) && ctx.Err() != nil:
		return Order{}, ctx.Err() // a read has no outcome that could be unknown
	case err != nil:
		return Order{}, err
	case full.Row == nil || !visible(full.Row, caller):
		return Order{}, fault.NotFound("order")
	}
	return m.render(full, caller), nil
}

// getAll reads a batch of orders. Its result is the zero value for an order that does not exist.
func (m *Module) getAll(ctx context.Context, ids []uuid.UUID) ([]batch.Result[storage.Full], error) {
	byID := make(map[uuid.UUID]storage.Full, len(ids))
	distinct := make([]uuid.UUID, 0, len(ids))
	for _, id := range ids {
		if _, twice := byID[id]; !twice {
			byID[id] = storage.Full{}
			distinct = append(distinct, id)
		}
	}
	err := m.consistently(ctx, func(q postgres.Querier) error {
		list, err := storage.Read(ctx, q, distinct)
		for _, o := range list {
			byID[o.Row.ID] = o
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %d orders: %w", len(distinct), err)
	}
	results := make([]batch.Result[storage.Full], len(ids))
	for i, id := range ids {
		results[i].Value = byID[id]
	}
	return results, nil
}
