package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/wakeup"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Consumer is a consumer of the whole log that stores its results in the same database. Its position
// is updated in the transaction that contains the results. Each event therefore takes effect
// exactly once and in the order of the log, even after a crash.
//
// Every node may run a reader of the same name. The update of the position fails if another node
// has changed it: when two nodes read the same page, one of them commits and the other one pauses.
type Consumer struct {
	log    *Log
	name   string
	handle func(ctx context.Context, tx pgx.Tx, list []Event) error
	logger *slog.Logger
	wake   wakeup.Signal

	// OnCommit, when set before Run, is called after each page that was committed.
	OnCommit func()

	at *storedPosition // the row as this reader wrote it; nil: it has to be read
}

// storedPosition is the row of a reader, with the cursor of the event at its position.
type storedPosition struct {
	xid    uint64
	seq    int64
	cursor Cursor
}

// The size of a page. It is small because a page is one transaction, and no consumer can read past
// an open transaction.
const readerPage = 500

// NewConsumer returns the reader with that name. A migration creates its row. The function handle
// processes one page in the transaction that moves the position. It is called again with the same
// events if that transaction fails.
func NewConsumer(log *Log, name string, handle func(ctx context.Context, tx pgx.Tx, list []Event) error, out *slog.Logger) *Consumer {
	return &Consumer{log: log, name: name, handle: handle, logger: out, wake: wakeup.New()}
}

// AddConsumer stores a position for the consumer, at the present end of the log, unless it has one:
// a consumer does not receive events from before it was added. Migrations call it.
func AddConsumer(ctx context.Context, q postgres.Querier, name string) error {
	_, err := q.Exec(ctx, `insert into event_readers (name, xid, seq)
		select $1::text, coalesce(h.xid, '3'), coalesce(h.seq, 0)
		from (values (1)) as one (row)
		left join lateral (select e.xid, e.seq from events e order by e.xid desc, e.seq desc limit 1) h on true
		on conflict (name) do nothing`, name)
	if err != nil {
		return fmt.Errorf("add the consumer %s: %w", name, err)
	}
	return nil
}

// Wake makes the reader look for events now. It never blocks.
func (r *Consumer) Wake() { r.wake.Send() }

// Run handles events until ctx ends and then returns nil. After an error it retries from the same
// position every second.
func (r *Consumer) Run(ctx context.Context) error {
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
		wait := pollInterval
		switch behind, err := r.handleNew(ctx); {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errOvertaken):
			wake = nil                   // another node is ahead: ignore wake-ups until the timer fires
			wait += rand.N(pollInterval) //nolint:gosec // jitter, not a secret
		case err != nil:
			r.logger.WarnContext(ctx, "consumer of the event log failed, retrying", "reader", r.name, "error", err)
		case behind:
			wait = retryMax / 2
		}
		timer.Reset(wait)
	}
}

var errOvertaken = errors.New("another node has moved the position")

// deliverNew handles all events that are readable now.
func (r *Consumer) handleNew(ctx context.Context) (behind bool, err error) {
	for {
		page, err := r.step(ctx)
		if errors.Is(err, ErrRewritten) && r.at != nil {
			// The log was rewritten or adopted, and the row with it, so the position in memory is
			// outdated.
			r.at = nil
			page, err = r.step(ctx)
		}
		if err != nil {
			r.at = nil
			return false, err
		}
		if len(page.Events) == 0 {
			return page.Waiting, nil
		}
		if r.OnCommit != nil {
			r.OnCommit()
		}
		r.at = &storedPosition{page.Next.Xid, page.Next.Seq, page.Next}
		if !page.More {
			return page.Waiting, nil
		}
	}
}

// step reads and handles one page in a single transaction and thus on a single server. A page of a
// database that was replaced is therefore never written to the new database.
func (r *Consumer) step(ctx context.Context) (page Page, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()

	err = postgres.InTx(ctx, r.log.pool, func(tx pgx.Tx) (err error) {
		at := r.at
		if at == nil {
			if at, err = r.loadPosition(ctx, tx); err != nil {
				return err
			}
		}
		query, args := pageQuery(uuid.Nil, at.cursor, readerPage)
		if page, err = readPage(ctx, tx, at.cursor, readerPage, query, args); err != nil {
			return err
		}
		r.at = at
		if len(page.Events) == 0 {
			return nil
		}
		moved, err := tx.Exec(ctx, `update event_readers set xid = $2, seq = $3 where name = $1 and (xid, seq) = ($4, $5)`,
			r.name, page.Next.Xid, page.Next.Seq, at.xid, at.seq)
		if err != nil {
			return fmt.Errorf("store the position of consumer %s: %w", r.name, err)
		}
		if moved.RowsAffected() == 0 {
			return errOvertaken
		}
		return r.handle(ctx, tx, page.Events)
	})
	return page, err
}

// loadPosition reads the stored position. It returns an error, also on every retry, if the log has another
// event at this position than the row, because continuing would skip events without notice.
func (r *Consumer) loadPosition(ctx context.Context, tx pgx.Tx) (*storedPosition, error) {
	var at storedPosition
	var order *uuid.UUID
	var version *int64
	var p position
	err := tx.QueryRow(ctx, `
		select r.xid, r.seq, r.order_id, r.version, l.epoch, `+cursorColumns+` from event_readers r
		cross join event_log l
		left join events e on e.xid = r.xid and e.seq = r.seq
		where r.name = $1`, r.name).Scan(append([]any{&at.xid, &at.seq, &order, &version, &at.cursor.Epoch}, p.targets()...)...)
	if err != nil {
		return nil, fmt.Errorf("read the position of consumer %s: %w", r.name, err)
	}
	if at.seq == 0 { // sequence numbers begin at 1
		return &at, nil
	}
	if p.xid == nil || order == nil || version == nil || *order != *p.order || *version != *p.version {
		return nil, fmt.Errorf("%w: consumer %s is at (%d, %d), where the log has another event or none", ErrRewritten, r.name, at.xid, at.seq)
	}
	at.cursor = p.cursor(at.cursor.Epoch)
	return &at, nil
}
