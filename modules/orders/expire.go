package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// ExpireOnce fails the orders that were not paid in time, gives their stock back,
// and returns how many there were. Whether money was held after all is found out
// by a job, which lets it go. Any number of nodes may do this at once: each order
// is locked and looked at again (SPEC D7).
func (m *Module) ExpireOnce(ctx context.Context) (found int, err error) {
	ids, err := m.expired(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	err = m.workOn(ctx, ids, func(tx pgx.Tx, w *work) error {
		var list []*ent.Order
		for _, row := range w.rows {
			if row.ReservedUntil != nil && !row.ReservedUntil.After(events.Now()) && row.PaymentStatus == none {
				list = append(list, row)
			}
		}
		found = len(list)
		if err := m.giveBack(ctx, tx, w, list); err != nil {
			return err
		}
		for _, row := range list {
			failure := &Failure{Code: "reservation-expired", Detail: "It was not paid in time, and its stock was given back."}
			if err := w.change(row).move(lifecycle.Failed, lifecycle.System, typeFailed, Data{Failure: failure}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("expire reservations: %w", err)
	}
	return found, nil
}

// expired finds orders to look at; it does not lock, and what has moved on by then
// is left alone.
func (m *Module) expired(ctx context.Context) ([]uuid.UUID, error) {
	rows, err := m.Pool.Query(ctx, `select id from orders where reserved_until <= $1 order by reserved_until limit $2`,
		events.Now(), sweepAtOnce)
	if err != nil {
		return nil, fmt.Errorf("find expired reservations: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}
