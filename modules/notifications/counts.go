package notifications

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"orderflow/platform/postgres"
)

// counts passes on to this node's followers what is unread in their inboxes. A
// count is a state and not an event: only the latest matters, and one that nobody
// listens to is read with the inbox.
type counts struct {
	pool *postgres.Pool
	out  *slog.Logger
	tell func(user uuid.UUID, unread int64)
	wake chan struct{}

	seen  uint64 // changes of transactions up to this one are passed on
	begun bool
}

// Redis only wakes; without it a count comes within this time (SPEC E5).
const countEvery = time.Second

func (c *counts) look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *counts) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-timer.C:
		}
		if err := c.pass(ctx); err != nil && ctx.Err() == nil {
			c.out.WarnContext(ctx, "unread counts cannot be read", "error", err)
		}
		timer.Reset(countEvery)
	}
}

// pass tells of all changes that are visible now. As in the log, nothing is passed
// over that an older transaction may still commit.
func (c *counts) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	if !c.begun {
		if err := c.pool.QueryRow(ctx, `select coalesce(max(changed), '3') from inbox_counts
			where changed < pg_snapshot_xmin(pg_current_snapshot())`).Scan(&c.seen); err != nil {
			return fmt.Errorf("find the last change: %w", err)
		}
		c.begun = true
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
