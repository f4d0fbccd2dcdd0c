package app

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/order"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// ordersAtOnce bounds what the walk keeps in memory.
const ordersAtOnce = 500

// histories walks over all orders by id, each with its lines and its events, and
// returns how many there were. Every page is three reads along primary keys.
func histories(ctx context.Context, q postgres.Querier, found func(order string, b orders.Breach)) (n int, err error) {
	db := ent.On(q)
	for after := uuid.Nil; ; {
		rows, err := db.Order.Query().Where(order.IDGT(after)).Order(order.ByID()).Limit(ordersAtOnce).All(ctx)
		if err != nil || len(rows) == 0 {
			return n, err
		}
		upTo := rows[len(rows)-1].ID
		lines, err := linesBetween(ctx, q, after, upTo)
		if err != nil {
			return n, fmt.Errorf("read lines: %w", err)
		}
		events, err := eventsBetween(ctx, q, after, upTo)
		if err != nil {
			return n, fmt.Errorf("read events: %w", err)
		}
		for _, row := range rows {
			priced := lines[row.ID]
			for i := range priced {
				priced[i].UnitPrice.Currency, priced[i].Total.Currency = row.Currency, row.Currency
			}
			for _, b := range orders.Check(row, priced, events[row.ID]) {
				found("order "+row.ID.String(), b)
			}
		}
		n, after = n+len(rows), upTo
	}
}

func linesBetween(ctx context.Context, q postgres.Querier, after, upTo uuid.UUID) (map[uuid.UUID][]orders.Line, error) {
	rows, err := q.Query(ctx, `
		select order_id, sku, name, quantity, unit_price, total from order_lines
		where order_id > $1 and order_id <= $2 order by order_id, line`, after, upTo)
	if err != nil {
		return nil, err
	}
	list := make(map[uuid.UUID][]orders.Line, ordersAtOnce)
	var id uuid.UUID
	var l orders.Line
	_, err = pgx.ForEachRow(rows, []any{&id, &l.SKU, &l.Name, &l.Quantity, &l.UnitPrice.Amount, &l.Total.Amount}, func() error {
		list[id] = append(list[id], l)
		return nil
	})
	return list, err
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
