// Package events is the append-only log of events, and the only way to read it.
//
// A change and its events are written in the same transaction. Consumers keep a cursor (xid, seq)
// and read only below the oldest transaction that is still open, so that they never skip an event
// that commits late. With a plain sequence the higher number may be committed first, and a consumer
// that has passed it misses the lower one. A cursor always is the position of an event that was
// read, and never the horizon itself: after a crash the database assigns the xids of rolled back
// transactions again, and these are below a horizon that was seen before the crash.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Event is one change of one order. Version numbers the events of an order from 1 without a gap. It
// is also the version of the order after the event.
type Event struct {
	Cursor  Cursor // set by the log
	OrderID uuid.UUID
	Version int64
	UserID  uuid.UUID // the owner of the order
	Type    string
	Data    json.RawMessage
	Actor   identity.Actor
	At      time.Time
}

// Append writes events in tx with one statement. A second event with the same order and version
// violates the primary key; it means that two transactions changed the order without a lock.
func Append(ctx context.Context, tx pgx.Tx, list []Event) error {
	if len(list) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, insertEvents, rowsOf(list)...); err != nil {
		return fmt.Errorf("append %d events: %w", len(list), err)
	}
	return nil
}

// AppendBatch adds the statement of Append to a batch of statements that share a round trip.
func AppendBatch(b *pgx.Batch, list []Event) {
	if len(list) > 0 {
		b.Queue(insertEvents, rowsOf(list)...)
	}
}

// The events of an order must be in the log in the order of their versions. A transaction may have
// got its xid before the transaction that made the previous change of the order, and then have
// waited for the lock of that one. It then writes its events under the xid of the previous event.
// Consumers cannot have passed that xid, because this transaction, with the lower xid, is still
// open.
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

// Log reads the event log of one database. It caches nothing: the epoch is read with every page,
// because the log may be adopted, or the database replaced, while the process runs.
type Log struct{ pool *postgres.Pool }

// OpenLog returns the log of the pool's database. It returns an error if the database has no log.
func OpenLog(ctx context.Context, pool *postgres.Pool) (*Log, error) {
	var epoch string
	if err := pool.QueryRow(ctx, `select epoch from event_log`).Scan(&epoch); err != nil {
		return nil, fmt.Errorf("read the log's epoch: %w", err)
	}
	return &Log{pool}, nil
}

const (
	columns       = `e.xid, e.seq, e.order_id, e.version, e.user_id, e.type, e.data, e.actor, e.at`
	cursorColumns = `e.xid, e.seq, e.order_id, e.version, e.type, e.at` // the columns of which a cursor consists
)

// position holds the columns of witness as a query returns them: all nil when there is no event.
type position struct {
	xid     *uint64
	seq     *int64
	order   *uuid.UUID
	version *int64
	kind    *string
	at      *time.Time
}

func (p *position) targets() []any {
	return []any{&p.xid, &p.seq, &p.order, &p.version, &p.kind, &p.at}
}

// cursor returns the cursor of the event, or of the beginning of the log when there is none.
func (p *position) cursor(epoch string) Cursor {
	if p.xid == nil {
		return Cursor{Epoch: epoch}
	}
	return Cursor{epoch, *p.xid, *p.seq, digest(*p.order, *p.version, *p.kind, *p.at)}
}

// Head returns the current end of the readable log. A consumer that starts there receives all
// events that become readable from now on.
func (l *Log) Head(ctx context.Context) (Cursor, error) {
	c, err := l.cursor(ctx, `
		select l.epoch, `+cursorColumns+` from event_log l
		left join lateral (select * from events where xid < pg_snapshot_xmin(pg_current_snapshot())
			order by xid desc, seq desc limit 1) e on true`)
	if err != nil {
		return Cursor{}, fmt.Errorf("read the head of the log: %w", err)
	}
	return c, nil
}

// Since returns the position before the events that happened at or after a time. Events of
// transactions that overlapped at that time may be on either side. The query searches the range of
// xids by bisection, because there is no index by time.
func (l *Log) Since(ctx context.Context, at time.Time) (Cursor, error) {
	c, err := l.cursor(ctx, `
		with recursive halves (low, high) as (
			select 3::bigint, coalesce((select e.xid::text::bigint from events e order by e.xid desc, e.seq desc limit 1), 2) + 1
			union all
			select case when e.at < $1 then m.mid + 1 else h.low end, case when e.at < $1 then h.high else m.mid end
			from halves h
			cross join lateral (select h.low + (h.high - h.low) / 2 as mid) m
			left join lateral (select at from events where xid >= m.mid::text::xid8 order by xid, seq limit 1) e on true
			where h.low < h.high)
		select l.epoch, `+cursorColumns+` from event_log l
		join halves h on h.low >= h.high
		left join lateral (select * from events where xid < h.low::text::xid8 order by xid desc, seq desc limit 1) e on true`, at)
	if err != nil {
		return Cursor{}, fmt.Errorf("find the events since %s: %w", at, err)
	}
	return c, nil
}

func (l *Log) cursor(ctx context.Context, query string, args ...any) (Cursor, error) {
	var epoch string
	var p position
	err := l.pool.QueryRow(ctx, query, args...).Scan(append([]any{&epoch}, p.targets()...)...)
	return p.cursor(epoch), err
}

// Verify returns ErrRewritten if the log no longer contains the event at the cursor.
func (l *Log) Verify(ctx context.Context, c Cursor) error {
	_, err := l.After(ctx, c, uuid.Nil, 0)
	return err
}

// Expired reports whether a consumer can no longer resume at a cursor: the log does not contain the
// event at the cursor (ErrRewritten), or the next event for that user is older than keep.
func (l *Log) Expired(ctx context.Context, c Cursor, user uuid.UUID, keep time.Duration) (bool, error) {
	next, err := l.After(ctx, c, user, 1)
	if errors.Is(err, ErrRewritten) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return len(next.Events) > 0 && time.Since(next.Events[0].At) > keep, nil
}

// History returns the events of an order, in the order of their versions.
func (l *Log) History(ctx context.Context, order uuid.UUID) ([]Event, error) {
	rows, err := l.pool.Query(ctx, `select l.epoch, `+columns+` from event_log l cross join events e where e.order_id = $1 order by e.version`, order)
	if err != nil {
		return nil, fmt.Errorf("read the history of order %s: %w", order, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) { return scan(row) })
}

// scan reads one event from a row that consists of the epoch and columns.
func scan(row pgx.Row) (e Event, err error) {
	err = row.Scan(&e.Cursor.Epoch, &e.Cursor.Xid, &e.Cursor.Seq, &e.OrderID, &e.Version, &e.UserID, &e.Type, &e.Data, &e.Actor, &e.At)
	e.Cursor.Digest = digest(e.OrderID, e.Version, e.Type, e.At)
	return e, err
}
