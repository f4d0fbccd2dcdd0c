package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

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

// ErrChanged says that an order changed between the statements that read it. A reader reads
// again, in one snapshot.
var ErrChanged = errors.New("an order changed while it was read")

// Read reads orders by their ids, in one round trip unless one of them has steps. Unknown ids are
// absent from the result. Without a snapshot or a lock it can return ErrChanged.
func Read(ctx context.Context, q postgres.Querier, ids []uuid.UUID) ([]Full, error) {
	var (
		rows  []*ent.Order
		lines = make(map[uuid.UUID][]lifecycle.Line, len(ids))
		b     = &pgx.Batch{}
	)
	b.Queue(readSQL, distinct(ids)).Query(scanInto(&rows))
	QueueLines(b, ids, lines)
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	return withSteps(ctx, q, rows, lines)
}

// Range is a part of one index of orders, newest first.
type Range struct {
	Where string // conditions on orders o
	Order string // the order of the index, which is that of the ids within the range
}

// Page is a query for the orders of one page: the union of ranges that exclude each other.
type Page struct {
	Parts []Range // with the arguments $2, $3, ...
	Args  []any
	Limit int
}

// Read reads the orders of the page, newest first, in one round trip unless one of them has steps.
// Without a snapshot it can return ErrChanged: two statements may then see different pages.
func (p Page) Read(ctx context.Context, q postgres.Querier) ([]Full, error) {
	var (
		rows  []*ent.Order
		lines = make(map[uuid.UUID][]lifecycle.Line, p.Limit)
		args  = append([]any{p.Limit}, p.Args...)
		b     = &pgx.Batch{}
	)
	b.Queue("select "+each(rowColumns, "%")+" from ("+p.union(each(rowColumns, "o.%"))+") as page order by id desc limit $1", args...).Query(scanInto(&rows))
	b.Queue("select page.id, "+lineColumns+" from (select id from ("+p.union("o.id")+") as page order by id desc limit $1) as page"+
		" left join lateral ("+linesOf("page.id")+") as l on true order by page.id, l.line", args...).Query(scanLines(lines))
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read a page of orders: %w", err)
	}
	for _, row := range rows {
		if _, same := lines[row.ID]; !same {
			return nil, ErrChanged
		}
	}
	return withSteps(ctx, q, rows, lines)
}

func (p Page) union(columns string) (sql string) {
	for i, part := range p.Parts {
		if i > 0 {
			sql += " union all "
		}
		sql += "(select " + columns + " from orders o where " + part.Where + " order by " + part.Order + " limit $1)"
	}
	return sql
}

// Complete reads what belongs to the rows of orders. Without a snapshot or a lock it can
// return ErrChanged.
func Complete(ctx context.Context, q postgres.Querier, rows []*ent.Order) ([]Full, error) {
	lines := make(map[uuid.UUID][]lifecycle.Line, len(rows))
	b := &pgx.Batch{}
	QueueLines(b, idsOf(rows), lines)
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read lines: %w", err)
	}
	return withSteps(ctx, q, rows, lines)
}

// withSteps reads the steps of orders and puts everything together. A row says whether its version
// has steps, so most reads need no statement for them.
func withSteps(ctx context.Context, q postgres.Querier, rows []*ent.Order, lines map[uuid.UUID][]lifecycle.Line) ([]Full, error) {
	if !slices.ContainsFunc(rows, func(o *ent.Order) bool { return o.Steps > 0 }) {
		return Join(rows, lines, nil)
	}
	steps := map[uuid.UUID][]StoredStep{}
	b := &pgx.Batch{}
	QueueSteps(b, idsOf(rows), steps)
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read steps: %w", err)
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

// lineColumns are the columns of a line after the order's id. Its currency is in the order's row.
const lineColumns = "l.sku, l.name, l.quantity, l.unit_price, l.total"

// linesOf is the query for the lines of one order. As a lateral subquery with an optimization
// fence (offset 0) it reads them through the primary key, whatever the planner knows about the table.
func linesOf(order string) string {
	return "select * from order_lines l where l.order_id = " + order + " offset 0"
}

// QueueLines reads the lines of many orders, each in its order, without their currency. An id that
// is given more than once, as by two jobs of one order in a batch, counts once.
func QueueLines(b *pgx.Batch, ids []uuid.UUID, into map[uuid.UUID][]lifecycle.Line) {
	b.Queue("select i.id, "+lineColumns+" from unnest($1::uuid[]) as i (id) cross join lateral ("+linesOf("i.id")+") as l order by i.id, l.line", distinct(ids)).Query(scanLines(into))
}

// distinct returns the ids sorted and without repetitions. The statements that read each id of a
// list by itself need it: they would return what belongs to a repeated id more than once.
func distinct(ids []uuid.UUID) []uuid.UUID {
	return slices.Compact(slices.SortedFunc(slices.Values(ids), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }))
}

// scanLines collects lines by their orders. An order whose columns of a line are null has none.
func scanLines(into map[uuid.UUID][]lifecycle.Line) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var (
			id                    uuid.UUID
			sku, name             pgtype.Text
			quantity, unit, total pgtype.Int8
		)
		_, err := pgx.ForEachRow(rows, []any{&id, &sku, &name, &quantity, &unit, &total}, func() error {
			list := into[id]
			if sku.Valid {
				l := lifecycle.Line{SKU: sku.String, Name: name.String, Quantity: quantity.Int64}
				l.UnitPrice.Amount, l.Total.Amount = unit.Int64, total.Int64
				list = append(list, l)
			}
			into[id] = list
			return nil
		})
		return err
	}
}

// inCurrency sets the currency of lines, which only the order's row has.
func inCurrency(lines []lifecycle.Line, currency string) {
	for i := range lines {
		lines[i].UnitPrice.Currency, lines[i].Total.Currency = currency, currency
	}
}

// scanInto collects rows with all columns.
func scanInto(list *[]*ent.Order) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
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
	}
}

func idsOf(rows []*ent.Order) []uuid.UUID {
	ids := make([]uuid.UUID, len(rows))
	for i, o := range rows {
		ids[i] = o.ID
	}
	return ids
}
