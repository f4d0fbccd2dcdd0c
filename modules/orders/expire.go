package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// sweepAtOnce is the number of orders that one pass of the sweep handles.
const sweepAtOnce = 500

// ExpireOnce fails the orders that were not paid in time, releases their stock, and returns
// their number. A job voids the authorization, if there is one. Any number of nodes may run it
// concurrently, because each order is locked and checked again (SPEC D7).
func (m *Module) ExpireOnce(ctx context.Context) (found int, err error) {
	ids, err := m.expired(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	err = m.withLocked(ctx, ids, func(u *unitOfWork) error {
		var list []*lockedOrder
		for _, o := range u.orders {
			if o.Unpaid() && !o.ReservedUntil.After(events.Now()) {
				list = append(list, o)
			}
		}
		found = len(list)
		return u.failAll(ctx, list, func(*lockedOrder) lifecycle.Failure {
			return lifecycle.Failure{Code: "reservation-expired", Detail: "The order was not paid in time, and its stock was returned."}
		})
	})
	if err != nil {
		return 0, fmt.Errorf("expire reservations: %w", err)
	}
	return found, nil
}

// expired returns candidates without locking them; the caller checks each again under its
// lock.
func (m *Module) expired(ctx context.Context) ([]uuid.UUID, error) {
	rows, err := m.Pool.Query(ctx, `
		select id from orders where reserved_until <= $1 and status = any($3) order by reserved_until limit $2`,
		events.Now(), sweepAtOnce, lifecycle.Reserving())
	if err != nil {
		return nil, fmt.Errorf("find expired reservations: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}
