package orders

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/batch"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// dueAfter is how long the system may take to move an order on before the sweep
// looks into it (SPEC D6).
const dueAfter = 30 * time.Second

// turn is one step of a job: its order and, once the provider was asked, the
// question with its answer.
type turn struct {
	order uuid.UUID
	call  PaymentCall
}

// Advance does everything that the system owes an order: stock reserved, payment
// authorised, CONFIRMED, PROCESSING; its money captured once it is on its way,
// let go once it will not be, given back where that was asked for. It may be
// called any number of times, by any number of nodes: the row says what is left.
//
// Concurrent calls share transactions; the provider is asked between them.
func (m *Module) Advance(ctx context.Context, id uuid.UUID) error {
	now := turn{order: id}
	for {
		call, err := m.advancing.Do(ctx, now)
		if err != nil || call == nil {
			return err
		}
		if err := call.Do(ctx); err != nil {
			return &unanswered{call, fmt.Errorf("%s order %s: %w", call.Step(), id, err)}
		}
		now.call = call
	}
}

// unanswered is the error of a question that the provider did not answer.
type unanswered struct {
	call PaymentCall
	error
}

func (e *unanswered) Unwrap() error { return e.error }

// work is a batch of turns within its transaction: the orders, locked, and what
// becomes of them.
type work struct {
	rows    []*ent.Order
	lines   map[uuid.UUID][]Line
	book    Book
	changes map[uuid.UUID]*change
}

// advanceAll moves a batch of orders, in one transaction. Row locks are taken on
// orders by id and then on products by sku, here and everywhere, so nobody waits
// in a circle; for the same reason stock goes back in a transaction of its own.
func (m *Module) advanceAll(ctx context.Context, turns []turn) ([]batch.Result[PaymentCall], error) {
	var (
		results []batch.Result[PaymentCall]
		undo    []uuid.UUID
	)
	err := m.workOn(ctx, ordersOf(turns), func(tx pgx.Tx, w *work) (err error) {
		if undo, err = m.advance(ctx, tx, w, turns); err != nil {
			return err
		}
		results = w.next(turns)
		return nil
	})
	if err == nil && len(undo) > 0 {
		err = m.workOn(ctx, undo, func(tx pgx.Tx, w *work) error { return m.undo(ctx, tx, w) })
	}
	if err != nil {
		return nil, fmt.Errorf("advance %d orders: %w", len(turns), err)
	}
	return results, nil
}

func ordersOf(turns []turn) []uuid.UUID {
	ids := make([]uuid.UUID, len(turns))
	for i, t := range turns {
		ids[i] = t.order
	}
	return ids
}

// workOn runs do over locked orders in one transaction, writes what it changed,
// and announces that once it is committed.
func (m *Module) workOn(ctx context.Context, ids []uuid.UUID, do func(tx pgx.Tx, w *work) error) error {
	var changes []*change
	err := postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		w, err := m.open(ctx, tx, ids)
		if err != nil {
			return err
		}
		if err := do(tx, w); err != nil {
			return err
		}
		changes = slices.Collect(maps.Values(w.changes))
		return m.write(ctx, tx, changes, w.book)
	})
	if err == nil {
		m.announce(changes)
	}
	return err
}

// open locks orders and reads what belongs to them, in one round trip.
func (m *Module) open(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (*work, error) {
	w := &work{lines: make(map[uuid.UUID][]Line, len(ids)), changes: make(map[uuid.UUID]*change, len(ids))}
	b := &pgx.Batch{}
	queueLock(b, ids, &w.rows)
	w.book = m.Open(b, ids)
	queueLines(b, ids, w.lines)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	for _, row := range w.rows {
		inCurrency(w.lines[row.ID], row.Currency)
	}
	return w, nil
}

// change is what the transaction does to one of its orders, as the system unless
// somebody else has begun it.
func (w *work) change(row *ent.Order) *change {
	c := w.changes[row.ID]
	if c == nil {
		c = newChange(row, identity.System)
		w.changes[row.ID] = c
	}
	return c
}

// row finds an order; the rows come by id.
func (w *work) row(id uuid.UUID) *ent.Order {
	i, there := slices.BinarySearchFunc(w.rows, id, func(row *ent.Order, id uuid.UUID) int { return bytes.Compare(row.ID[:], id[:]) })
	if !there {
		return nil
	}
	return w.rows[i]
}

// advance records the answers that came, takes every order as far as it goes, and
// tells which ones must be undone.
func (m *Module) advance(ctx context.Context, tx pgx.Tx, w *work, turns []turn) (undo []uuid.UUID, err error) {
	if err := w.record(turns); err != nil {
		return nil, err
	}
	if err := m.reserve(ctx, tx, w); err != nil {
		return nil, err
	}
	for _, row := range w.rows {
		if isDeclined(row) {
			undo = append(undo, row.ID)
			continue
		}
		if err := w.proceed(row); err != nil {
			return nil, err
		}
		if row.DueAt != nil && !lifecycle.Status(row.Status).InHand() && w.book.Next(row.ID, wanted(row)) == nil {
			w.change(row).row.DueAt = nil // nothing is owed any more
		}
	}
	return undo, nil
}

// next is what each turn must ask now. Two turns of one order get a question each,
// which they may ask at the same time.
func (w *work) next(turns []turn) []batch.Result[PaymentCall] {
	results := make([]batch.Result[PaymentCall], len(turns))
	for i, t := range turns {
		if row := w.row(t.order); row != nil {
			results[i].Value = w.book.Next(row.ID, wanted(row))
		}
	}
	return results
}

// record takes the provider's answers. A second worker's answer is no news.
func (w *work) record(turns []turn) error {
	for _, t := range turns {
		row := w.row(t.order)
		if t.call == nil || row == nil {
			continue
		}
		event, amount, code, detail, news := w.book.Record(t.call)
		if !news {
			continue
		}
		if err := w.change(row).pay(w.book, event, amount, code, detail); err != nil {
			return err
		}
	}
	return nil
}

// reserve takes stock for the PENDING orders that have none yet. Those for which
// there is not enough fail, or wait for a person.
func (m *Module) reserve(ctx context.Context, tx pgx.Tx, w *work) error {
	// First come, first served: ids rise with time, and the rows come by id.
	var (
		fresh      []*ent.Order
		orders     []uuid.UUID
		skus       []string
		quantities []int64
		wants      = map[uuid.UUID][]StockItem{}
	)
	for _, row := range w.rows {
		if row.DeletedAt != nil || lifecycle.Status(row.Status) != lifecycle.Pending || row.ReservedUntil != nil {
			continue
		}
		fresh = append(fresh, row)
		wants[row.ID] = sum(w.lines[row.ID])
		for _, item := range wants[row.ID] {
			orders, skus, quantities = append(orders, row.ID), append(skus, item.SKU), append(quantities, item.Quantity)
		}
	}
	if len(fresh) == 0 {
		return nil
	}

	short, err := m.Stock.Reserve(ctx, tx, orders, skus, quantities)
	if err != nil {
		return err
	}
	for _, row := range fresh {
		c := w.change(row)
		if missing := short[row.ID]; len(missing) > 0 {
			err = c.short(missing)
		} else {
			err = c.reserved(wants[row.ID], m.HoldStock, w.book)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// short is what becomes of an order when there is not enough for it.
func (c *change) short(skus []string) error {
	detail := "Not enough stock of " + strings.Join(skus, ", ") + "."
	if c.row.OnShortage == "hold" {
		reason := "out-of-stock: " + detail
		return c.move(lifecycle.OnHold, lifecycle.System, typeHeld, Data{Reason: &reason})
	}
	return c.move(lifecycle.Failed, lifecycle.System, typeFailed,
		Data{Failure: &Failure{Code: "out-of-stock", Detail: detail, SKUs: skus}})
}

// reserved notes what the order holds, and that it is to be paid for; what costs
// nothing is confirmed at once.
func (c *change) reserved(got []StockItem, within time.Duration, book Book) error {
	if err := c.note(typeReserved, Data{Items: got}); err != nil {
		return err
	}
	if c.row.Total == 0 {
		return c.move(lifecycle.Confirmed, lifecycle.System, typeConfirmed, Data{})
	}
	c.row.ReservedUntil = new(c.at.Add(within))
	return book.Begin(c.row.ID, in(c.row, c.row.Total), c.row.PaymentMethod)
}

// proceed confirms what is reserved and paid for, and hands it over to fulfilment.
func (w *work) proceed(row *ent.Order) error {
	if row.DeletedAt != nil {
		return nil
	}
	if lifecycle.Status(row.Status) == lifecycle.Pending && row.ReservedUntil != nil && row.PaymentStatus == authorized {
		if err := w.change(row).move(lifecycle.Confirmed, lifecycle.System, typeConfirmed, Data{}); err != nil {
			return err
		}
	}
	if lifecycle.Status(row.Status) != lifecycle.Confirmed {
		return nil
	}
	return w.change(row).move(lifecycle.Processing, lifecycle.System, typeProcessing, Data{})
}

func isDeclined(row *ent.Order) bool {
	return lifecycle.Status(row.Status) == lifecycle.Pending && row.PaymentStatus == declined
}

// undo fails the orders that were declined, and gives their stock back (SPEC D2).
func (m *Module) undo(ctx context.Context, tx pgx.Tx, w *work) error {
	var list []*ent.Order
	for _, row := range w.rows {
		if isDeclined(row) {
			list = append(list, row)
		}
	}
	if err := m.giveBack(ctx, tx, w, list); err != nil {
		return err
	}
	for _, row := range list {
		code, detail := w.book.Declined(row.ID)
		failure := &Failure{Code: "payment-declined", Detail: fmt.Sprintf("The payment was declined: %s (%s)", detail, code)}
		err := w.change(row).move(lifecycle.Failed, lifecycle.System, typeFailed, Data{Failure: failure})
		if err != nil {
			return err
		}
	}
	return nil
}

// giveBack releases what orders hold, and tells of it where they held anything.
func (m *Module) giveBack(ctx context.Context, tx pgx.Tx, w *work, rows []*ent.Order) error {
	if len(rows) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	released, err := m.Stock.Release(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if units := released[row.ID]; len(units) > 0 {
			if err := w.change(row).note(typeReleased, Data{Items: items(units)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// sum adds up the lines of each sku, in the order of the skus (SPEC B2).
func sum(lines []Line) []StockItem {
	units := make(map[string]int64, len(lines))
	for _, l := range lines {
		units[l.SKU] += l.Quantity
	}
	return items(units)
}

func items(units map[string]int64) []StockItem {
	list := make([]StockItem, 0, len(units))
	for _, sku := range slices.Sorted(maps.Keys(units)) {
		list = append(list, StockItem{sku, units[sku]})
	}
	return list
}
