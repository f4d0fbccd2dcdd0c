package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Reader reads the whole log for somebody who keeps what he makes of it in the same
// database. Its place moves in the commit that holds the outcome, so each event
// takes effect exactly once, in the log's order, whatever crashes in between.
//
// Every node may run one. The place moves only from where the reader found it: of
// two that read the same page, one commits and the other stands by for a while.
type Reader struct {
	log    *Log
	name   string
	handle func(ctx context.Context, tx pgx.Tx, list []Event) error
	out    *slog.Logger
	wake   chan struct{}
	lag    atomic.Int64 // age of the last event when it was handled, ns

	// Committed, when set before Run, is called after each page that took effect.
	Committed func()

	at *stored // the row as this reader left it; nil: it has to be read
}

// stored is a reader's row, and the cursor of the event that it follows.
type stored struct {
	xid    uint64
	seq    int64
	cursor Cursor
}

// A page is one transaction, and nobody's cursor passes a transaction that is
// open: small, so that others need not wait for long.
const readerPage = 500

// NewReader makes the reader of that name; its row is the work of a migration.
// handle takes one page in the transaction in which the place moves. It may be
// called again with the same events when that transaction fails.
func NewReader(log *Log, name string, handle func(ctx context.Context, tx pgx.Tx, list []Event) error, out *slog.Logger) *Reader {
	return &Reader{log: log, name: name, handle: handle, out: out, wake: make(chan struct{}, 1)}
}

// AddReader gives a reader its position, at the present end of the log, unless it has one
// already: what happened before it came is not told to it. Migrations call it.
func AddReader(ctx context.Context, q postgres.Querier, name string) error {
	_, err := q.Exec(ctx, `insert into event_readers (name, xid, seq)
		select $1::text, coalesce(h.xid, '3'), coalesce(h.seq, 0)
		from (values (1)) as one (row)
		left join lateral (select e.xid, e.seq from events e order by e.xid desc, e.seq desc limit 1) h on true
		on conflict (name) do nothing`, name)
	if err != nil {
		return fmt.Errorf("add the reader %s: %w", name, err)
	}
	return nil
}

// Wake says "look now", as Tail.Wake does.
func (r *Reader) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Lag is the time between the last handled event and its handling on this node.
func (r *Reader) Lag() time.Duration { return time.Duration(r.lag.Load()) }

// Run reads until ctx ends. What fails is tried again every second, from the
// same place.
func (r *Reader) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wake := r.wake

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}

		wake = r.wake
		wait := pollEvery
		switch behind, err := r.look(ctx); {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errOvertaken):
			wake = nil                // another node is at it; only the timer brings this one back
			wait += rand.N(pollEvery) //nolint:gosec // jitter, not a secret
		case err != nil:
			r.out.WarnContext(ctx, "reader of the event log cannot go on", "reader", r.name, "error", err)
		case behind:
			wait = lookAtMost / 2
		}
		timer.Reset(wait)
	}
}

var errOvertaken = errors.New("another node has moved the reader")

// look handles all that is visible now.
func (r *Reader) look(ctx context.Context) (behind bool, err error) {
	for {
		page, err := r.step(ctx)
		if errors.Is(err, ErrRewritten) && r.at != nil {
			// The log has gone back, or was adopted, and the row with it: what was
			// remembered of the row is of no use.
			r.at = nil
			page, err = r.step(ctx)
		}
		if err != nil {
			r.at = nil
			return false, err
		}
		if len(page.Events) == 0 {
			return page.Behind, nil
		}
		if r.Committed != nil {
			r.Committed()
		}
		r.at = &stored{page.Next.Xid, page.Next.Seq, page.Next}
		r.lag.Store(int64(time.Since(page.Events[len(page.Events)-1].At)))
		if !page.Full {
			return page.Behind, nil
		}
	}
}

// step reads a page and handles it, all in one transaction and so on one server: a page
// of a database that was replaced meanwhile is never written into its successor.
func (r *Reader) step(ctx context.Context) (page Page, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readWithin)
	defer cancel()

	err = postgres.InTx(ctx, r.log.pool, func(tx pgx.Tx) (err error) {
		at := r.at
		if at == nil {
			if at, err = r.stand(ctx, tx); err != nil {
				return err
			}
		}
		query, args := pageQuery(uuid.Nil, at.cursor, readerPage)
		if page, err = read(ctx, tx, at.cursor, readerPage, query, args); err != nil {
			return err
		}
		r.at = at
		if len(page.Events) == 0 {
			return nil
		}
		moved, err := tx.Exec(ctx, `update event_readers set xid = $2, seq = $3 where name = $1 and (xid, seq) = ($4, $5)`,
			r.name, page.Next.Xid, page.Next.Seq, at.xid, at.seq)
		if err != nil {
			return fmt.Errorf("move reader %s: %w", r.name, err)
		}
		if moved.RowsAffected() == 0 {
			return errOvertaken
		}
		return r.handle(ctx, tx, page.Events)
	})
	return page, err
}

// stand reads where the reader is. A row whose event is not where the row says it was is
// an error, for ever: to go on from there would pass over events in silence.
func (r *Reader) stand(ctx context.Context, tx pgx.Tx) (*stored, error) {
	var at stored
	var order *uuid.UUID
	var version *int64
	var p position
	err := tx.QueryRow(ctx, `
		select r.xid, r.seq, r.order_id, r.version, l.epoch, `+witness+` from event_readers r
		cross join event_log l
		left join events e on e.xid = r.xid and e.seq = r.seq
		where r.name = $1`, r.name).Scan(append([]any{&at.xid, &at.seq, &order, &version, &at.cursor.Epoch}, p.into()...)...)
	if err != nil {
		return nil, fmt.Errorf("read the place of reader %s: %w", r.name, err)
	}
	if at.seq == 0 { // numbers begin at 1
		return &at, nil
	}
	if p.xid == nil || order == nil || version == nil || *order != *p.order || *version != *p.version {
		return nil, fmt.Errorf("%w: reader %s stands at (%d, %d), where the event that it follows is not", ErrRewritten, r.name, at.xid, at.seq)
	}
	at.cursor = p.cursor(at.cursor.Epoch)
	return &at, nil
}
