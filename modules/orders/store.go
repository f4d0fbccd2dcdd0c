package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// lock reads orders for a change, in the order of their ids so that two batches
// cannot wait for each other.
func lock(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (list []*ent.Order, err error) {
	b := &pgx.Batch{}
	queueLock(b, ids, &list)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	return list, nil
}

func queueLock(b *pgx.Batch, ids []uuid.UUID, list *[]*ent.Order) {
	b.Queue(`
		select id, user_id, status, payment_status, currency, total, on_shortage, payment_method, captured, refunded, refunding,
		       reference, note, metadata, tracking, version, held_from, reason, failure_code, failure_detail, failure_skus,
		       stalled, reserved_until, due_at, created_at, updated_at, deleted_at
		from orders where id = any($1) order by id for no key update`, ids,
	).Query(func(rows pgx.Rows) (err error) {
		*list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (*ent.Order, error) {
			var o ent.Order
			return &o, r.Scan(&o.ID, &o.UserID, &o.Status, &o.PaymentStatus, &o.Currency, &o.Total, &o.OnShortage,
				&o.PaymentMethod, &o.Captured, &o.Refunded, &o.Refunding, &o.Reference, &o.Note, &o.Metadata, &o.Tracking,
				&o.Version, &o.HeldFrom, &o.Reason, &o.FailureCode, &o.FailureDetail, &o.FailureSkus,
				&o.Stalled, &o.ReservedUntil, &o.DueAt, &o.CreatedAt, &o.UpdatedAt, &o.DeletedAt)
		})
		return err
	})
}

// write stores changes, appends their events, writes what book decided (it may be
// nil) and adds a job for each order that is owed something: one round trip for
// any number of orders, and one more for the jobs.
func (m *Module) write(ctx context.Context, tx pgx.Tx, changes []*change, book Book) error {
	if len(changes) == 0 {
		return nil
	}
	var (
		changed int64
		list    []events.Event
		jobs    []river.InsertManyParams
	)
	b := &pgx.Batch{}
	queueUpdate(b, changes, &changed)
	for _, c := range changes {
		list = append(list, c.events...)
		if c.settled {
			c.queueResolve(b)
		}
		if c.owes {
			jobs = append(jobs, river.InsertManyParams{Args: ProcessArgs{OrderID: c.row.ID}})
		}
	}
	events.Queue(b, list)
	queueCounts(b, movedCounts(changes))
	if book != nil {
		book.Queue(b)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write %d orders: %w", len(changes), err)
	}
	if changed != int64(len(changes)) {
		return errors.New("an order changed under its lock")
	}
	if len(jobs) == 0 {
		return nil
	}
	if _, err := m.Queue.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}

func queueUpdate(b *pgx.Batch, changes []*change, changed *int64) {
	n := len(changes)
	ids, statuses, versions, was := make([]uuid.UUID, n), make([]string, n), make([]int64, n), make([]int64, n)
	payments, captured, refunded, refunding := make([]string, n), make([]int64, n), make([]int64, n), make([]int64, n)
	tracking, held, reasons, stalled := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	codes, details, skus := make([]*string, n), make([]*string, n), make([]*string, n)
	reserved, due, deleted, at := make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n), make([]time.Time, n)
	for i, c := range changes {
		r := c.row
		ids[i], statuses[i], versions[i], was[i] = r.ID, r.Status, r.Version, r.Version-int64(len(c.events))
		payments[i], captured[i], refunded[i], refunding[i] = r.PaymentStatus, r.Captured, r.Refunded, r.Refunding
		tracking[i], held[i], reasons[i], stalled[i] = r.Tracking, r.HeldFrom, r.Reason, r.Stalled
		codes[i], details[i], skus[i] = r.FailureCode, r.FailureDetail, jsonList(r.FailureSkus)
		reserved[i], due[i], deleted[i], at[i] = r.ReservedUntil, r.DueAt, r.DeletedAt, r.UpdatedAt
	}
	b.Queue(`
		update orders o set status = c.status, version = c.version, payment_status = c.payment_status, captured = c.captured,
			refunded = c.refunded, refunding = c.refunding, tracking = c.tracking, held_from = c.held_from, reason = c.reason,
			stalled = c.stalled, failure_code = c.failure_code, failure_detail = c.failure_detail, failure_skus = c.failure_skus,
			reserved_until = c.reserved_until, due_at = c.due_at, deleted_at = c.deleted_at, updated_at = c.updated_at
		from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
				$9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::json[],
				$16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[])
			as c (id, status, version, was, payment_status, captured, refunded, refunding, tracking, held_from, reason, stalled,
				failure_code, failure_detail, failure_skus, reserved_until, due_at, deleted_at, updated_at)
		where o.id = c.id and o.version = c.was`,
		ids, statuses, versions, was, payments, captured, refunded, refunding, tracking, held, reasons, stalled,
		codes, details, skus, reserved, due, deleted, at,
	).Exec(func(tag pgconn.CommandTag) error {
		*changed = tag.RowsAffected()
		return nil
	})
}

// announce tells the metrics what a committed transaction did, and wakes the readers.
func (m *Module) announce(changes []*change) {
	if len(changes) == 0 {
		return
	}
	for _, c := range changes {
		for _, status := range c.moves {
			m.metrics.moved.WithLabelValues(string(status)).Inc()
		}
	}
	m.Wake()
}

// linesOf reads the lines of many orders at once, each in its order.
func linesOf(ctx context.Context, q postgres.Querier, list []*ent.Order) (map[uuid.UUID][]Line, error) {
	ids := make([]uuid.UUID, len(list))
	for i, o := range list {
		ids[i] = o.ID
	}
	lines := make(map[uuid.UUID][]Line, len(list))
	b := &pgx.Batch{}
	queueLines(b, ids, lines)
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read lines: %w", err)
	}
	for _, o := range list {
		inCurrency(lines[o.ID], o.Currency)
	}
	return lines, nil
}

func queueLines(b *pgx.Batch, ids []uuid.UUID, into map[uuid.UUID][]Line) {
	b.Queue(`
		select order_id, sku, name, quantity, unit_price, total from order_lines
		where order_id = any($1) order by order_id, line`, ids,
	).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id uuid.UUID
			var l Line
			if err := rows.Scan(&id, &l.SKU, &l.Name, &l.Quantity, &l.UnitPrice.Amount, &l.Total.Amount); err != nil {
				return err
			}
			into[id] = append(into[id], l)
		}
		return rows.Err()
	})
}

func inCurrency(lines []Line, currency string) {
	for i := range lines {
		lines[i].UnitPrice.Currency, lines[i].Total.Currency = currency, currency
	}
}

func jsonList(list []string) *string {
	if list == nil {
		return nil
	}
	raw, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings always marshal
	}
	return text(raw)
}

func text(raw []byte) *string {
	if raw == nil {
		return nil
	}
	s := string(raw)
	return &s
}
