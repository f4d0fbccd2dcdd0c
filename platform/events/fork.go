package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// ForkName is the name of the position of a part of a consumer. Positions of parts are rows of
// event_readers like those of consumers, so they follow a log that is rewritten or adopted.
func ForkName(consumer string, part uuid.UUID) string { return consumer + "/" + part.String() }

// Fork gives a part of a consumer a position of its own, behind the event at that cursor: its events
// after the cursor are handled by CatchUp instead of by the consumer. The consumer calls it in the
// transaction that handles the event at the cursor, and leaves the part out until CatchUp has
// removed the position.
func Fork(ctx context.Context, tx pgx.Tx, consumer string, parts []uuid.UUID, at Cursor) error {
	names := make([]string, len(parts))
	for i, part := range parts {
		names[i] = ForkName(consumer, part)
	}
	_, err := tx.Exec(ctx, `insert into event_readers (name, xid, seq) select unnest($1::text[]), $2, $3`, names, at.Xid, at.Seq)
	if err != nil {
		return fmt.Errorf("fork the consumer %s: %w", consumer, err)
	}
	return nil
}

// Forked is a part of a consumer with a position of its own.
type Forked struct {
	Part uuid.UUID
	At   time.Time // of the event at the position; zero at the beginning of the log
}

// Forks returns the parts of a consumer that have positions of their own, the farthest behind first. In
// the transaction that handles a page, none of them can end before the commit.
func Forks(ctx context.Context, q postgres.Querier, consumer string) ([]Forked, error) {
	rows, err := q.Query(ctx, `
		select substr(r.name, length($1) + 2)::uuid, coalesce(e.at, '0001-01-01 00:00Z') from event_readers r
		left join events e on e.xid = r.xid and e.seq = r.seq
		where starts_with(r.name, $1 || '/') order by r.xid, r.seq, r.name`, consumer)
	if err != nil {
		return nil, fmt.Errorf("find the forks of consumer %s: %w", consumer, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Forked])
	if err != nil {
		return nil, fmt.Errorf("find the forks of consumer %s: %w", consumer, err)
	}
	return list, nil
}

// EndFork removes the position of a part that no longer exists.
func EndFork(ctx context.Context, q postgres.Querier, consumer string, part uuid.UUID) error {
	return removePosition(ctx, q, ForkName(consumer, part))
}

func removePosition(ctx context.Context, q postgres.Querier, name string) error {
	if _, err := q.Exec(ctx, `delete from event_readers where name = $1`, name); err != nil {
		return fmt.Errorf("remove the position of %s: %w", name, err)
	}
	return nil
}

// CatchUp handles one page of the events between the position of a part and that of its consumer, in
// one transaction with the new position. If no event is left, it removes the position of the part,
// and the consumer handles the following events; it then returns true. It also returns true if the
// part has no position. With a user, it reads the events of that user only.
//
// The last page is read while the consumer's row is locked, so that no event is missed between the
// two: the consumer waits for this one page.
func (l *Log) CatchUp(ctx context.Context, consumer string, part, user uuid.UUID, handle func(ctx context.Context, tx pgx.Tx, list []Event) error) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()

	f := fork{log: l, of: consumer, user: user, handle: handle, own: Consumer{log: l, name: ForkName(consumer, part)}}
	left, err := f.step(ctx, false)
	if err == nil && left == onlyLast {
		left, err = f.step(ctx, true)
	}
	if errors.Is(err, errForkEnded) {
		return true, nil
	}
	return err == nil && left == nothing, err
}

var errForkEnded = errors.New("the fork has ended")

// left is what a step leaves for the next ones.
type left int

const (
	more     left = iota
	onlyLast      // less than a page, which was not handled
	nothing       // the fork has ended
)

type fork struct {
	log    *Log
	of     string // the consumer
	user   uuid.UUID
	handle func(ctx context.Context, tx pgx.Tx, list []Event) error
	own    Consumer
}

// step handles a whole page. Less than a page is handled only as the last one.
func (f *fork) step(ctx context.Context, last bool) (rest left, err error) {
	err = postgres.InTx(ctx, f.log.pool, func(tx pgx.Tx) error {
		end, err := f.lock(ctx, tx, last)
		if err != nil {
			return err
		}
		at, err := f.own.loadPosition(ctx, tx)
		if err != nil {
			return err
		}
		query, args := pageQuery(f.user, at.cursor, readerPage)
		page, err := readPage(ctx, tx, at.cursor, readerPage, query, args)
		if err != nil {
			return err
		}
		list := slices.DeleteFunc(page.Events, func(e Event) bool { return end.Before(e.Cursor) })

		switch rest = more; {
		case len(list) == readerPage:
			err = f.move(ctx, tx, list[len(list)-1].Cursor)
		case last:
			rest, err = nothing, removePosition(ctx, tx, f.own.name)
		default:
			rest = onlyLast
			return nil
		}
		if err != nil || len(list) == 0 {
			return err
		}
		return f.handle(ctx, tx, list)
	})
	return rest, err
}

// lock locks the position of the part and returns that of the consumer, which it locks first if this
// may be the last page. The consumer locks no position of a part.
func (f *fork) lock(ctx context.Context, tx pgx.Tx, last bool) (end Cursor, err error) {
	query := `select xid, seq from event_readers where name = $1`
	if last {
		query += ` for share`
	}
	if err := tx.QueryRow(ctx, query, f.of).Scan(&end.Xid, &end.Seq); err != nil {
		return end, fmt.Errorf("read the position of consumer %s: %w", f.of, err)
	}
	tag, err := tx.Exec(ctx, `select from event_readers where name = $1 for update`, f.own.name)
	if err != nil {
		return end, fmt.Errorf("lock the position of %s: %w", f.own.name, err)
	}
	if tag.RowsAffected() == 0 {
		return end, errForkEnded
	}
	return end, nil
}

func (f *fork) move(ctx context.Context, tx pgx.Tx, to Cursor) error {
	_, err := tx.Exec(ctx, `update event_readers set xid = $2, seq = $3 where name = $1`, f.own.name, to.Xid, to.Seq)
	if err != nil {
		return fmt.Errorf("store the position of %s: %w", f.own.name, err)
	}
	return nil
}
