// Package storage reads and writes the rows of orders. It converts between rows
// and the aggregate in one place, and generates its statements from one list of
// columns. It decides nothing.
package storage

import (
	"context"
	"fmt"
	"reflect"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// The statements over rows of orders, made from the list of columns.
var (
	insertColumns = columnsAt(atInsert)
	updateColumns = columnsAt(atUpdate)
	keyedColumns  = append([]column{rowColumns[0]}, updateColumns...) // with the id

	lockSQL = "select " + each(rowColumns, "%") + " from orders where id = any($1) order by id for no key update"

	insertSQL = "insert into orders (" + each(insertColumns, "%") + ") select " + each(insertColumns, "%") +
		" from unnest(" + unnest(insertColumns) + ") as o (" + each(insertColumns, "%") + ")" +
		" on conflict (reference, user_id) where reference is not null do nothing returning id"

	updateSQL = "update orders o set " + each(updateColumns, "% = c.%") +
		" from unnest(" + unnest(keyedColumns) + fmt.Sprintf(", $%d::bigint[]", len(keyedColumns)+1) + ") as c (" + each(keyedColumns, "%") + ", loaded)" +
		" where o.id = c.id and o.version = c.loaded"
)

// QueueLock reads orders for a change, in the order of their ids so that two
// batches cannot wait for each other.
func QueueLock(b *pgx.Batch, ids []uuid.UUID, list *[]*ent.Order) {
	b.Queue(lockSQL, ids).Query(func(rows pgx.Rows) (err error) {
		into := make([]any, len(rowColumns))
		*list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (*ent.Order, error) {
			var o ent.Order
			row := reflect.ValueOf(&o).Elem()
			for i, c := range rowColumns {
				into[i] = c.scan(row)
			}
			return &o, r.Scan(into...)
		})
		return err
	})
}

// QueueInsert adds new orders, and returns the ids of those whose reference was free.
func QueueInsert(b *pgx.Batch, rows []*ent.Order, written *[]uuid.UUID) {
	b.Queue(insertSQL, argsOf(insertColumns, rows)...).Query(func(rows pgx.Rows) (err error) {
		*written, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
}

// Update is a row to store, and the version that it had when it was locked.
type Update struct {
	Row    *ent.Order
	Loaded int64
}

// QueueUpdate stores locked orders. A count below the number of updates means that
// an order was changed without its lock.
func QueueUpdate(b *pgx.Batch, list []Update, count *int64) {
	rows, loaded := make([]*ent.Order, len(list)), make([]int64, len(list))
	for i, u := range list {
		rows[i], loaded[i] = u.Row, u.Loaded
	}
	b.Queue(updateSQL, append(argsOf(keyedColumns, rows), loaded)...).Exec(func(tag pgconn.CommandTag) error {
		*count = tag.RowsAffected()
		return nil
	})
}

// Lines reads the lines of many orders at once, each in its order.
func Lines(ctx context.Context, q postgres.Querier, list []*ent.Order) (map[uuid.UUID][]lifecycle.Line, error) {
	ids := make([]uuid.UUID, len(list))
	for i, o := range list {
		ids[i] = o.ID
	}
	lines := make(map[uuid.UUID][]lifecycle.Line, len(list))
	b := &pgx.Batch{}
	QueueLines(b, ids, lines)
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read lines: %w", err)
	}
	for _, o := range list {
		InCurrency(lines[o.ID], o.Currency)
	}
	return lines, nil
}

// QueueLines reads the lines of many orders, each in its order, without their currency.
func QueueLines(b *pgx.Batch, ids []uuid.UUID, into map[uuid.UUID][]lifecycle.Line) {
	b.Queue(`
		select order_id, sku, name, quantity, unit_price, total from order_lines
		where order_id = any($1) order by order_id, line`, ids,
	).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id uuid.UUID
			var l lifecycle.Line
			if err := rows.Scan(&id, &l.SKU, &l.Name, &l.Quantity, &l.UnitPrice.Amount, &l.Total.Amount); err != nil {
				return err
			}
			into[id] = append(into[id], l)
		}
		return rows.Err()
	})
}

// InCurrency sets the currency of lines, which only the order's row has.
func InCurrency(lines []lifecycle.Line, currency string) {
	for i := range lines {
		lines[i].UnitPrice.Currency, lines[i].Total.Currency = currency, currency
	}
}
