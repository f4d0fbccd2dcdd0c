package notifications

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/internal/wakeup"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// counts sends the number of unread notifications to the subscribers of this node. A count is a
// state and not an event: only the latest one is sent, and without a subscriber none is sent.
type counts struct {
	pool *postgres.Pool
	out  *slog.Logger
	tell func(user uuid.UUID, unread int64)
	// listeners returns the users with a subscriber on this node.
	listeners func() []uuid.UUID
	wake      wakeup.Signal
	replaced  atomic.Bool // the database was restored to an earlier state: seen may be ahead of it

	seen  uint64 // changes of transactions up to this one are passed on
	begun bool
}

// The poll interval. Wake-ups through Redis only make it faster (SPEC E5).
const countEvery = time.Second

// restart is called when the database was restored to an earlier state, which may have changed
// counts.
func (c *counts) restart() {
	c.replaced.Store(true)
	c.wake.Send()
}

func (c *counts) run(ctx context.Context) error {
	return periodic.Run(ctx, periodic.Task{
		Name: "pass on unread counts", Interval: countEvery, Immediately: true, Wake: c.wake, Log: c.out, Run: c.pass,
	})
}

// pass sends all changed counts that are visible now. As with the log, it does not advance past
// changes that an older open transaction may still commit.
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

// all sends the counts of all users with a subscriber.
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
