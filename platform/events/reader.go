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

	"orderflow/platform/postgres"
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

	at    Cursor
	known bool // at is where this reader left its place
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
		page, err := r.page(ctx)
		if err != nil || len(page.Events) == 0 {
			return page.Behind, err
		}
		if err := r.take(ctx, page); err != nil {
			r.known = false
			return false, err
		}
		if r.Committed != nil {
			r.Committed()
		}
		r.at = page.Next
		r.lag.Store(int64(time.Since(page.Events[len(page.Events)-1].At)))
		if !page.Full {
			return page.Behind, nil
		}
	}
}

func (r *Reader) page(ctx context.Context) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()

	if !r.known {
		r.at = Cursor{Epoch: r.log.epoch}
		err := r.log.pool.QueryRow(ctx, `select xid, seq from event_readers where name = $1`, r.name).Scan(&r.at.Xid, &r.at.Seq)
		if err != nil {
			return Page{}, fmt.Errorf("read the place of reader %s: %w", r.name, err)
		}
		r.known = true
	}
	return r.log.After(ctx, r.at, uuid.Nil, readerPage)
}

func (r *Reader) take(ctx context.Context, page Page) error {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()

	return postgres.InTx(ctx, r.log.pool, func(tx pgx.Tx) error {
		moved, err := tx.Exec(ctx, `update event_readers set xid = $2, seq = $3 where name = $1 and (xid, seq) = ($4, $5)`,
			r.name, page.Next.Xid, page.Next.Seq, r.at.Xid, r.at.Seq)
		if err != nil {
			return fmt.Errorf("move reader %s: %w", r.name, err)
		}
		if moved.RowsAffected() == 0 {
			return errOvertaken
		}
		return r.handle(ctx, tx, page.Events)
	})
}
