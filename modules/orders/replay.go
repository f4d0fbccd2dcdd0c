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

// The functions of this file decide whether a stored response may be returned again: only
// if the caller may still see the order that it shows (SPEC C3, A5).

func orderDeleted() *fault.Error {
	return fault.New(fault.KindConflict, "order-deleted", "The order that this request placed was deleted.")
}

// stillVisible is for use cases on one order: a caller who may no longer see the order
// gets the fault that the use case itself would return. If show is not nil, it adapts the
// stored value for a former administrator who may still see the order as its owner.
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

// actionsOf returns a function for stillVisible that sets a stored order's allowed actions
// to what the caller may do now.
func (m *Module) actionsOf(caller identity.Caller) func(*ent.Order, *Order) {
	return func(row *ent.Order, o *Order) { o.AllowedActions = m.allowedActions(row, caller) }
}

// stillPlaced is for the response of Place: if the order was deleted, it returns a fault.
func stillPlaced(ctx context.Context, q postgres.Querier, replay *idempotency.Replay[Order]) error {
	if replay.Refused() {
		return nil // the response contains no order of this request
	}
	o, err := replay.Value()
	if err != nil {
		return fmt.Errorf("read a stored order: %w", err)
	}
	deleted, err := deletedAmong(ctx, q, []uuid.UUID{o.ID})
	if err == nil && deleted[o.ID] {
		err = orderDeleted()
	}
	return err
}

// stillPlacedMany is for the response of PlaceMany: it replaces deleted orders by the
// reason why they are not shown.
func stillPlacedMany(ctx context.Context, q postgres.Querier, replay *idempotency.Replay[[]BulkOrderResult]) error {
	if replay.Refused() {
		return nil
	}
	list, err := replay.Value()
	if err != nil {
		return fmt.Errorf("read the stored response of a bulk request: %w", err)
	}
	ids := make([]uuid.UUID, len(list))
	for i, o := range list {
		if o.Order != nil {
			ids[i] = o.Order.ID
		}
	}
	deleted, err := deletedAmong(ctx, q, ids)
	if err != nil || len(deleted) == 0 {
		return err
	}
	for i := range list {
		if deleted[ids[i]] {
			list[i] = BulkOrderResult{Rejection: orderDeleted()}
		}
	}
	return replay.Rewrite(ctx, list)
}

// deletedAmong returns which of the orders are deleted. The lateral join makes the planner
// use the primary key for each id: without statistics it would scan the whole table.
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
	deleted := make(map[uuid.UUID]bool, len(list))
	for _, id := range list {
		deleted[id] = true
	}
	return deleted, nil
}
