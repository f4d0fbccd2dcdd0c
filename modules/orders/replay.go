package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// A stored response is given again to somebody who may still see what it shows (SPEC C3, A5).

func orderDeleted() *fault.Error {
	return fault.New(fault.KindConflict, "order-deleted", "The order that this request placed was deleted.")
}

// stillVisible is for use cases on one order: a caller who may not see it any more gets
// the refusal that the use case would give. show adapts the stored value for a demoted
// administrator, who may still see the order as its owner; nil leaves it as it is.
func stillVisible[T any](caller identity.Caller, id uuid.UUID, deletedToo bool, show func(row *ent.Order, v *T)) func(context.Context, postgres.Querier, *idempotency.Replay[T]) error {
	return func(ctx context.Context, q postgres.Querier, replay *idempotency.Replay[T]) error {
		row, err := db(q).Order.Get(ctx, id)
		switch {
		case ent.IsNotFound(err):
			return fault.NotFound("order")
		case err != nil:
			return fmt.Errorf("read order %s: %w", id, err)
		case roleOf(row, caller) == 0, row.DeletedAt != nil && !deletedToo:
			return fault.NotFound("order")
		case show == nil, !replay.Demoted, replay.Refused():
			return nil
		}
		v, err := replay.Value()
		if err != nil {
			return fmt.Errorf("read the stored response about order %s: %w", id, err)
		}
		show(row, &v)
		return replay.Rewrite(ctx, v)
	}
}

// actionsOf shows of a stored order what the caller may do with it now.
func actionsOf(caller identity.Caller) func(*ent.Order, *Order) {
	return func(row *ent.Order, o *Order) { o.AllowedActions = allowedActions(row, caller) }
}

// stillPlaced is for the response that names one new order.
func stillPlaced(ctx context.Context, q postgres.Querier, replay *idempotency.Replay[Order]) error {
	if replay.Refused() {
		return nil // it names no order of this request
	}
	o, err := replay.Value()
	if err != nil {
		return fmt.Errorf("read a stored order: %w", err)
	}
	gone, err := deletedAmong(ctx, q, []uuid.UUID{o.ID})
	if err == nil && gone[o.ID] {
		err = orderDeleted()
	}
	return err
}

// deletedAmong asks for each id by itself: without statistics the planner would read the
// whole table for a list.
func deletedAmong(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, err := q.Query(ctx, `
		select o.id from unnest($1::uuid[]) as i (id)
		cross join lateral (select id, deleted_at from orders where orders.id = i.id limit 1) o
		where o.deleted_at is not null`, ids)
	if err != nil {
		return nil, fmt.Errorf("look for deleted orders: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("look for deleted orders: %w", err)
	}
	gone := make(map[uuid.UUID]bool, len(list))
	for _, id := range list {
		gone[id] = true
	}
	return gone, nil
}
