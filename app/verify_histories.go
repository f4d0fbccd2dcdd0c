package app

import (
	"context"
	"fmt"

	"github.com/google/uuid"

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
func histories(ctx context.Context, q postgres.Querier, found func(order string, b orders.Breach)) (n int, err error) {
	db := ent.On(q)
	for after := uuid.Nil; ; {
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
		for _, o := range list {
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
