package notifications

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/periodic"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/wakeup"
)

// counts passes on to this node's followers what is unread in their inboxes. A
// count is a state and not an event: only the latest matters, and one that nobody
// listens to is read with the inbox.
type counts struct {
	pool *postgres.Pool
	out  *slog.Logger
	tell func(user uuid.UUID, unread int64)
	// listeners are those who are told on this node.
	listeners func() []uuid.UUID
	wake      wakeup.Signal
	replaced  atomic.Bool // the database went back: seen may be ahead of it

	seen  uint64 // changes of transactions up to this one are passed on
	begun bool
}

// Redis only wakes; without it a count comes within this time (SPEC E5).
const countEvery = time.Second

// restart says that the database went back to an earlier state. Counts may have changed
// with it.
func (c *counts) restart() {
	c.replaced.Store(true)
	c.wake.Send()
}

func (c *counts) run(ctx context.Context) error {
	return periodic.Run(ctx, periodic.Task{
		Name: "pass on unread counts", Interval: countEvery, Immediately: true, Wake: c.wake, Log: c.out, Run: c.pass,
	})
}

// pass tells of all changes that are visible now. As in the log, nothing is passed
// over that an older transaction may still commit.
func (c *counts) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	replaced := c.replaced.Swap(false)
	c.begun = c.begun && !replaced
	if !c.begun {
		if err := c.pool.QueryRow(ctx, `select coalesce(max(changed), '3') from inbox_counts
			where changed < pg_snapshot_xmin(pg_current_snapshot())`).Scan(&c.seen); err != nil {
			return fmt.Errorf("find the last change: %w", err)
		}
		c.begun = true
	}
	if replaced {
		if err := c.all(ctx); err != nil {
			c.replaced.Store(true)
			return err
		}
	}
	rows, err := c.pool.Query(ctx, `select user_id, unread, changed from inbox_counts
		where changed > $1 and changed < pg_snapshot_xmin(pg_current_snapshot()) order by changed`, c.seen)
	if err != nil {
		return fmt.Errorf("read changed counts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var user uuid.UUID
		var unread int64
		if err := rows.Scan(&user, &unread, &c.seen); err != nil {
			return fmt.Errorf("read changed counts: %w", err)
		}
		c.tell(user, unread)
	}
	return rows.Err()
}

// all tells everybody who listens how much is unread.
func (c *counts) all(ctx context.Context) error {
	rows, err := c.pool.Query(ctx, `
		select u.id, coalesce(c.unread, 0) from unnest($1::uuid[]) as u (id) left join inbox_counts c on c.user_id = u.id`, c.listeners())
	if err != nil {
		return fmt.Errorf("read the counts of those who listen: %w", err)
	}
	var user uuid.UUID
	var unread int64
	_, err = pgx.ForEachRow(rows, []any{&user, &unread}, func() error {
		c.tell(user, unread)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the counts of those who listen: %w", err)
	}
	return nil
}
