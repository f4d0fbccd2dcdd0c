// Package storage reads and writes the rows of orders. It converts between rows
// and the aggregate in one place, and generates its statements from one list of
// columns. It decides nothing.
package storage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

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

// Full is an order as its tables store it.
type Full struct {
	Row   *ent.Order
	Lines []lifecycle.Line
	Steps []lifecycle.Step // of the present round
}

// State reads the aggregate's state.
func (f Full) State() lifecycle.State {
	s := State(f.Row)
	s.Steps = f.Steps
	return s
}

// ErrChanged says that an order changed between the reading of its row and of its steps.
// A reader reads again, in one snapshot.
var ErrChanged = errors.New("an order changed while it was read")

// Complete reads what belongs to the rows of orders. Without a snapshot or a lock it can
// return ErrChanged.
func Complete(ctx context.Context, q postgres.Querier, rows []*ent.Order) ([]Full, error) {
	ids := make([]uuid.UUID, len(rows))
	for i, o := range rows {
		ids[i] = o.ID
	}
	var (
		lines = make(map[uuid.UUID][]lifecycle.Line, len(rows))
		steps = map[uuid.UUID][]StoredStep{}
		b     = &pgx.Batch{}
	)
	QueueLines(b, ids, lines)
	// A row says whether its version has steps, so most reads need no statement for them.
	if slices.ContainsFunc(rows, func(o *ent.Order) bool { return o.Steps > 0 }) {
		QueueSteps(b, ids, steps)
	}
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read lines and steps: %w", err)
	}
	return Join(rows, lines, steps)
}

// Join puts rows and what belongs to them together. It sets the currency of the lines.
func Join(rows []*ent.Order, lines map[uuid.UUID][]lifecycle.Line, steps map[uuid.UUID][]StoredStep) ([]Full, error) {
	list := make([]Full, len(rows))
	for i, row := range rows {
		list[i] = Full{Row: row, Lines: lines[row.ID]}
		inCurrency(list[i].Lines, row.Currency)
		if row.Steps == 0 {
			continue
		}
		for _, s := range steps[row.ID] {
			if s.Version != row.Version {
				return nil, ErrChanged
			}
			if s.Round == row.Round {
				list[i].Steps = append(list[i].Steps, s.Step)
			}
		}
	}
	return list, nil
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

// inCurrency sets the currency of lines, which only the order's row has.
func inCurrency(lines []lifecycle.Line, currency string) {
	for i := range lines {
		lines[i].UnitPrice.Currency, lines[i].Total.Currency = currency, currency
	}
}
