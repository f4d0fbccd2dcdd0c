// Package storage reads and writes the rows of orders. It converts between rows
// and the aggregate in one place, and generates its statements from one list of
// columns. It decides nothing.
package storage

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/orderflow-dev/orderflow/ent"
)

// The statements over rows of orders, made from the list of columns.
var (
	insertColumns = columnsAt(atInsert)
	updateColumns = columnsAt(atUpdate)
	keyedColumns  = append([]column{rowColumns[0]}, updateColumns...) // with the id

	lockSQL = "select " + each(rowColumns, "%") + " from orders where id = any($1) order by id for no key update"

	// The lateral join reads each row through the primary key, whatever the planner knows about the table.
	readSQL = "select " + each(rowColumns, "o.%") + " from unnest($1::uuid[]) as i (id)" +
		" cross join lateral (select * from orders where orders.id = i.id limit 1) as o"

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
	b.Queue(lockSQL, ids).Query(scanInto(list))
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
