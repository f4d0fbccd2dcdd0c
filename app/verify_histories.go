package app

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/order"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// ordersAtOnce bounds what the walk keeps in memory.
const ordersAtOnce = 500

// histories walks over all orders by id, each with its lines, its steps and its events, and
// returns how many there were. Every page is three reads along primary keys.
func histories(ctx context.Context, q postgres.Querier, shown *progress, found func(order string, b orders.Breach)) (n int, err error) {
	db := ent.On(q)
	for after := uuid.Nil; ; {
		shown.now("Checking the histories of orders, %d so far", n)
		rows, err := db.Order.Query().Where(order.IDGT(after)).Order(order.ByID()).Limit(ordersAtOnce).All(ctx)
		if err != nil || len(rows) == 0 {
			return n, err
		}
		upTo := rows[len(rows)-1].ID
		list, err := storage.Complete(ctx, q, rows)
		if err != nil {
			return n, err
		}
		events, err := eventsBetween(ctx, q, after, upTo)
		if err != nil {
			return n, fmt.Errorf("read events: %w", err)
		}
		deleted, err := referencesOfDeleted(ctx, q, after, upTo)
		if err != nil {
			return n, err
		}
		for _, o := range list {
			if reference := deleted[o.Row.ID]; reference != "" {
				o.Row.Reference = &reference
			}
			for _, b := range orders.Check(o, events[o.Row.ID]) {
				found("order "+o.Row.ID.String(), b)
			}
		}
		n, after = n+len(rows), upTo
	}
}

func eventsBetween(ctx context.Context, q postgres.Querier, after, upTo uuid.UUID) (map[uuid.UUID][]events.Event, error) {
	rows, err := q.Query(ctx, `
		select order_id, version, xid, seq, user_id, type, data, actor, at from events
		where order_id > $1 and order_id <= $2 order by order_id, version`, after, upTo)
	if err != nil {
		return nil, err
	}
	list := make(map[uuid.UUID][]events.Event, ordersAtOnce)
	for rows.Next() {
		var e events.Event
		err := rows.Scan(&e.OrderID, &e.Version, &e.Cursor.Xid, &e.Cursor.Seq, &e.UserID, &e.Type, (*[]byte)(&e.Data), &e.Actor, &e.At)
		if err != nil {
			rows.Close()
			return nil, err
		}
		list[e.OrderID] = append(list[e.OrderID], e)
	}
	return list, rows.Err()
}

// referencesOfDeleted returns the references that deleted orders had: they are free for other orders, and
// still part of the history (SPEC C22).
func referencesOfDeleted(ctx context.Context, q postgres.Querier, after, upTo uuid.UUID) (map[uuid.UUID]string, error) {
	rows, err := q.Query(ctx, `select id, deleted_reference from orders where id > $1 and id <= $2 and deleted_reference is not null and reference is null`, after, upTo)
	if err != nil {
		return nil, fmt.Errorf("read the references of deleted orders: %w", err)
	}
	list := map[uuid.UUID]string{}
	var id uuid.UUID
	var reference string
	_, err = pgx.ForEachRow(rows, []any{&id, &reference}, func() error {
		list[id] = reference
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the references of deleted orders: %w", err)
	}
	return list, nil
}
