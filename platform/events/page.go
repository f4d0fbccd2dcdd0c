package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// ErrRewritten means that the log does not contain the event at a cursor: the database was replaced
// by an older copy of itself or by another database, or the log was adopted. The consumer is ahead
// of this log or was never in it, and must not continue from that cursor (SPEC E3).
var ErrRewritten = errors.New("the log does not have the event of this cursor")

var errNoEpoch = errors.New("read events: the log has no epoch")

// Page is a sequence of consecutive events.
type Page struct {
	Events []Event
	// Next is the cursor of the next page: the position of the last event, or the start of an empty
	// page.
	Next Cursor
	// More means that the limit ended the page, so the next page can be read at once.
	More bool
	// Waiting means that committed events wait for an older transaction to end.
	Waiting bool
	// WaitingSince is the time of the first of these events; zero without any.
	WaitingSince time.Time
}

// A page ends below the oldest open transaction (SPEC E3). Its first row exists even if there are
// no events. It holds the epoch, the event at the cursor, and whether events are waiting. All of
// them come from the snapshot of the page, so a page never follows an event that the log does not
// contain.
//
// Events are waiting if they are at or above the oldest open transaction. The query reads the first of
// them in the order of the index instead of using "exists" or "min", because without statistics the
// planner reads the whole table for these.
const pageSQL = `
	select (select b.at from events b where b.xid >= h.xmin order by b.xid, b.seq limit 1) as waiting, l.epoch,
		` + cursorColumns + `, null::uuid as user_id, null::json as data, null as actor
	from (select pg_snapshot_xmin(pg_current_snapshot()) as xmin) h
	cross join event_log l
	left join lateral (select * from events c where c.xid = $1 and c.seq = $2 and c.xid < h.xmin) e on true
	union all
	select null, null, ` + cursorColumns + `, e.user_id, e.data, e.actor
	from (select pg_snapshot_xmin(pg_current_snapshot()) as xmin) h
	cross join lateral (select * from events e where %s and e.xid < h.xmin order by %s limit $3) e
	order by epoch, xid, seq`

// The condition on one user's page lets the index events_user_stream alone provide the order. With
// user_id = $4 the planner may prefer to read the events of all users and to discard nearly all.
//
// The bounds are subqueries so that the planner does not know their values. It multiplies the
// selectivities of the two conditions on user_id, and for the newest accounts, whose identifiers are
// greater than all others, the product is near zero. It would then read and sort the user's whole
// history instead of one page in the order of the index.
var (
	pageOfAll  = fmt.Sprintf(pageSQL, `(e.xid, e.seq) > ((select $1::xid8), (select $2::bigint))`, `e.xid, e.seq`)
	pageOfUser = fmt.Sprintf(pageSQL, `(e.user_id, e.xid, e.seq) > ((select $4::uuid), $1, $2) and e.user_id <= (select $4::uuid)`, `e.user_id, e.xid, e.seq`)
	// An order has few events, so all of them are read and sorted.
	pageOfOrder = fmt.Sprintf(pageSQL, `e.order_id = $4 and $5::uuid in (e.user_id, '`+uuid.Nil.String()+`') and (e.xid, e.seq) > ($1, $2)`, `e.xid, e.seq`)
)

// After returns up to limit events after the cursor, of one user or, with uuid.Nil, of all users.
// It returns ErrRewritten if the cursor is not a position of this log. Its cost does not depend on
// the length of the log.
func (l *Log) After(ctx context.Context, after Cursor, user uuid.UUID, limit int) (Page, error) {
	query, args := pageQuery(user, after, limit)
	return readPage(ctx, l.pool, after, limit, query, args)
}

// AfterInOrder is After for the events of one order. It returns none if the order is not the
// user's.
func (l *Log) AfterInOrder(ctx context.Context, after Cursor, order, user uuid.UUID, limit int) (Page, error) {
	return readPage(ctx, l.pool, after, limit, pageOfOrder, []any{after.Xid, after.Seq, limit, order, user})
}

func pageQuery(user uuid.UUID, after Cursor, limit int) (string, []any) {
	args := []any{after.Xid, after.Seq, limit}
	if user == uuid.Nil {
		return pageOfAll, args
	}
	return pageOfUser, append(args, user)
}

func readPage(ctx context.Context, q postgres.Querier, after Cursor, limit int, query string, args []any) (Page, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return Page{}, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()

	p := Page{Next: after}
	for first := true; rows.Next(); first = false {
		var (
			e     Event
			at    position
			waits *time.Time
			epoch *string
			owner *uuid.UUID
			actor *string
		)
		if err := rows.Scan(append(append([]any{&waits, &epoch}, at.targets()...), &owner, &e.Data, &actor)...); err != nil {
			return Page{}, fmt.Errorf("read events: %w", err)
		}
		if first {
			if epoch == nil {
				return Page{}, errNoEpoch
			}
			found := at.cursor(*epoch)
			if !after.follows(found) {
				return Page{}, fmt.Errorf("%w: cursor %s, found %s", ErrRewritten, after, found)
			}
			p.Next.Epoch, p.Next.Digest = found.Epoch, found.Digest
			if p.Waiting = waits != nil; p.Waiting {
				p.WaitingSince = *waits
			}
			continue
		}
		e.Cursor = at.cursor(p.Next.Epoch)
		e.OrderID, e.Version, e.UserID, e.Type = *at.order, *at.version, *owner, *at.kind
		e.Actor, e.At = identity.Actor(*actor), *at.at
		p.Events, p.Next = append(p.Events, e), e.Cursor
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return Page{}, fmt.Errorf("read events: %w", err)
	}
	if p.Next.Epoch == "" {
		return Page{}, errNoEpoch
	}

	p.More = len(p.Events) == limit
	return p, nil
}
