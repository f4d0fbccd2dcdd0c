package idempotency

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// The interval at which old keys are deleted, and the maximum number in one statement, which is
// small so that other transactions do not wait.
const (
	cleanEvery  = 10 * time.Minute
	cleanAtOnce = 5000
)

// Clean deletes expired keys until ctx ends. Any number of nodes may run it; they skip the rows that
// another node is deleting.
func Clean(ctx context.Context, pool *postgres.Pool, log *slog.Logger) error {
	return periodic.Run(ctx, periodic.Task{
		Name: "delete old idempotency keys", Interval: cleanEvery, Jitter: 0.5, Log: log,
		Run: func(ctx context.Context) error { _, err := CleanOnce(ctx, pool); return err },
	})
}

// CleanOnce deletes all keys older than Retention, a few thousand at a time, and returns their
// number.
func CleanOnce(ctx context.Context, pool *postgres.Pool) (n int64, err error) {
	for {
		tag, err := pool.Exec(ctx, `
			delete from idempotency_keys where ctid = any (array(
				select ctid from idempotency_keys where created_at < now() - $1::interval
				limit $2 for update skip locked))`, Retention, cleanAtOnce)
		if err != nil {
			return n, fmt.Errorf("delete old idempotency keys: %w", err)
		}
		n += tag.RowsAffected()
		if tag.RowsAffected() < cleanAtOnce {
			return n, nil
		}
	}
}
