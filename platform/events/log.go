// Package events is the append-only log of what happened, and the one way to
// read it.
//
// Whoever changes something appends in the same transaction. Readers keep a
// cursor (xid, seq) and stop below the oldest transaction that is still open, so
// that a number which commits late is never skipped: with a plain sequence the
// later number may commit first, and a reader that has moved on misses the other.
// A cursor always is the place of an event that was read, never the horizon
// itself: a database that crashes gives the xids of rolled back transactions out
// again, below the horizon that was seen before.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"orderflow/platform/identity"
	"orderflow/platform/postgres"
)

// Event is one change of one order. Version counts an order's events from 1
// without a hole, and is the order's version after it.
type Event struct {
	Cursor  Cursor // set by the log
	OrderID uuid.UUID
	Version int64
	UserID  uuid.UUID // whose order it is
	Type    string
	Data    json.RawMessage
	Actor   identity.Actor
	At      time.Time
}

// Append writes events in tx, all in one statement. A second event with the same
// order and version breaks the primary key: two writers that did not lock.
func Append(ctx context.Context, tx pgx.Tx, list []Event) error {
	if len(list) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, insertEvents, rowsOf(list)...); err != nil {
		return fmt.Errorf("append %d events: %w", len(list), err)
	}
	return nil
}

// Queue is Append as a part of a batch of statements that share a round trip.
func Queue(b *pgx.Batch, list []Event) {
	if len(list) > 0 {
		b.Queue(insertEvents, rowsOf(list)...)
	}
}

// An order's events keep their order in the log. A transaction may have got its id
// before the one that changed the order just before it, and waited for that one's
// lock: then it writes under that one's id, which readers cannot have passed while
// it was open itself.
const insertEvents = `
	insert into events (order_id, version, user_id, type, data, actor, at, xid)
	select e.*, case when e.version = 1 then pg_current_xact_id() else greatest(pg_current_xact_id(),
		(select p.xid from events p where p.order_id = e.order_id and p.version < e.version order by p.version desc limit 1)) end
	from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::json[], $6::text[], $7::timestamptz[])
		as e (order_id, version, user_id, type, data, actor, at)`

func rowsOf(list []Event) []any {
	n := len(list)
	orders, users := make([]uuid.UUID, n), make([]uuid.UUID, n)
	versions, at := make([]int64, n), make([]time.Time, n)
	types, data, actors := make([]string, n), make([]string, n), make([]string, n)
	for i, e := range list {
		orders[i], versions[i], users[i], types[i] = e.OrderID, e.Version, e.UserID, e.Type
		data[i], actors[i], at[i] = string(e.Data), string(e.Actor), e.At
	}
	return []any{orders, versions, users, types, data, actors, at}
}

// Page is a stretch of the log.
type Page struct {
	Events []Event
	// Next is where to go on: the last event's place, or where the page began.
	Next Cursor
	// Full says that the limit cut the page: there is more at once.
	Full bool
	// Behind says that something is committed but waits for an older transaction.
	Behind bool
}

// Log reads the log of one database.
type Log struct {
	pool  *postgres.Pool
	epoch string
}

// OpenLog finds out the database's epoch.
func OpenLog(ctx context.Context, pool *postgres.Pool) (*Log, error) {
	l := &Log{pool: pool}
	if err := pool.QueryRow(ctx, `select epoch from event_log`).Scan(&l.epoch); err != nil {
		return nil, fmt.Errorf("read the log's epoch: %w", err)
	}
	return l, nil
}

const columns = `e.xid, e.seq, e.order_id, e.version, e.user_id, e.type, e.data, e.actor, e.at`

// The page is taken below the oldest open transaction (SPEC E3). There is one row
// even when there is no event, which tells whether something waits: whether the
// newest event is at or beyond that transaction. It is asked in this way because
// for an "exists" the planner reads the whole table as long as it has no statistics.
const pageSQL = `
	select coalesce((select b.xid from events b order by b.xid desc, b.seq desc limit 1) >= h.xmin, false), ` + columns + `
	from (select pg_snapshot_xmin(pg_current_snapshot()) as xmin) h
	left join lateral (select * from events e where %s and e.xid < h.xmin order by %s limit $3) e on true
	order by e.xid, e.seq`

// One user's page is written so that events_user_stream alone gives its order.
// With user_id = $4 the planner may prefer to walk everybody's events and to drop
// nearly all of them.
var (
	pageOfAll  = fmt.Sprintf(pageSQL, `(e.xid, e.seq) > ($1, $2)`, `e.xid, e.seq`)
	pageOfUser = fmt.Sprintf(pageSQL, `(e.user_id, e.xid, e.seq) > ($4, $1, $2) and e.user_id <= $4`, `e.user_id, e.xid, e.seq`)
	// An order has few events: all of them are read, and sorted.
	pageOfOrder = fmt.Sprintf(pageSQL, `e.order_id = $4 and $5::uuid in (e.user_id, '`+uuid.Nil.String()+`') and (e.xid, e.seq) > ($1, $2)`, `e.xid, e.seq`)
)

// After reads up to limit events behind the cursor, of one user or, with
// uuid.Nil, of everybody. Its cost does not depend on the length of the log.
func (l *Log) After(ctx context.Context, after Cursor, user uuid.UUID, limit int) (Page, error) {
	query, args := pageQuery(user, after, limit)
	return l.read(ctx, after, limit, query, args)
}

// AfterInOrder is After for one order, if it is that user's.
func (l *Log) AfterInOrder(ctx context.Context, after Cursor, order, user uuid.UUID, limit int) (Page, error) {
	return l.read(ctx, after, limit, pageOfOrder, []any{after.Xid, after.Seq, limit, order, user})
}

func (l *Log) read(ctx context.Context, after Cursor, limit int, query string, args []any) (Page, error) {
	rows, err := l.pool.Query(ctx, query, args...)
	if err != nil {
		return Page{}, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()

	p := Page{Next: after}
	for rows.Next() {
		var (
			e            Event
			xid          *uint64
			seq, version *int64
			order, owner *uuid.UUID
			kind, actor  *string
			at           *time.Time
		)
		if err := rows.Scan(&p.Behind, &xid, &seq, &order, &version, &owner, &kind, &e.Data, &actor, &at); err != nil {
			return Page{}, fmt.Errorf("read events: %w", err)
		}
		if xid == nil {
			break // the row that stands for no event
		}
		e.Cursor = Cursor{l.epoch, *xid, *seq}
		e.OrderID, e.Version, e.UserID, e.Type = *order, *version, *owner, *kind
		e.Actor, e.At = identity.Actor(*actor), *at
		p.Events, p.Next = append(p.Events, e), e.Cursor
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return Page{}, fmt.Errorf("read events: %w", err)
	}

	p.Full = len(p.Events) == limit
	return p, nil
}

func pageQuery(user uuid.UUID, after Cursor, limit int) (string, []any) {
	args := []any{after.Xid, after.Seq, limit}
	if user == uuid.Nil {
		return pageOfAll, args
	}
	return pageOfUser, append(args, user)
}

// Head is the present end of the log for readers: whoever starts here sees all
// that becomes visible from now on.
func (l *Log) Head(ctx context.Context) (Cursor, error) {
	c := Cursor{Epoch: l.epoch}
	err := l.pool.QueryRow(ctx, `
		select xid, seq from events where xid < pg_snapshot_xmin(pg_current_snapshot())
		order by xid desc, seq desc limit 1`).Scan(&c.Xid, &c.Seq)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Cursor{}, fmt.Errorf("read the head of the log: %w", err)
	}
	return c, nil
}

// Since is the place of the last event before everything that happened at or after a
// time; what overlapped just then may lie on either side. It halves the range of
// transactions again and again, since there is no index by time.
func (l *Log) Since(ctx context.Context, at time.Time) (Cursor, error) {
	c := Cursor{Epoch: l.epoch}
	err := l.pool.QueryRow(ctx, `
		with recursive halves (low, high) as (
			select 3::bigint, coalesce((select e.xid::text::bigint from events e order by e.xid desc, e.seq desc limit 1), 2) + 1
			union all
			select case when e.at < $1 then m.mid + 1 else h.low end, case when e.at < $1 then h.high else m.mid end
			from halves h
			cross join lateral (select h.low + (h.high - h.low) / 2 as mid) m
			left join lateral (select at from events where xid >= m.mid::text::xid8 order by xid, seq limit 1) e on true
			where h.low < h.high)
		select e.xid, e.seq from halves h
		cross join lateral (select xid, seq from events where xid < h.low::text::xid8 order by xid desc, seq desc limit 1) e
		where h.low >= h.high`, at).Scan(&c.Xid, &c.Seq)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Cursor{}, fmt.Errorf("find the events since %s: %w", at, err)
	}
	return c, nil
}

// Gone tells whether a cursor can no longer be resumed: it belongs to another
// database, lies in the future of this one, or what follows it for that reader is
// older than keep.
func (l *Log) Gone(ctx context.Context, c Cursor, user uuid.UUID, keep time.Duration) (bool, error) {
	if c.Epoch != l.epoch {
		return true, nil
	}
	head, err := l.Head(ctx)
	if err != nil {
		return false, err
	}
	if head.Before(c) {
		return true, nil
	}
	next, err := l.After(ctx, c, user, 1)
	if err != nil {
		return false, err
	}
	return len(next.Events) > 0 && time.Since(next.Events[0].At) > keep, nil
}

// History is everything that happened to one order, first to last.
func (l *Log) History(ctx context.Context, order uuid.UUID) ([]Event, error) {
	rows, err := l.pool.Query(ctx, `select `+columns+` from events e where e.order_id = $1 order by e.version`, order)
	if err != nil {
		return nil, fmt.Errorf("read the history of order %s: %w", order, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) {
		e := Event{Cursor: Cursor{Epoch: l.epoch}}
		err := row.Scan(&e.Cursor.Xid, &e.Cursor.Seq, &e.OrderID, &e.Version, &e.UserID, &e.Type, &e.Data, &e.Actor, &e.At)
		return e, err
	})
}
