package idempotency

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// How often old keys are cleared away, and how many in one statement: small
// enough never to hold anything up.
const (
	cleanEvery  = 10 * time.Minute
	cleanAtOnce = 5000
)

// Clean deletes keys whose time is over until ctx ends. Any number of nodes may
// do it: what one is at, the others skip.
func Clean(ctx context.Context, pool *postgres.Pool, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(cleanEvery/2 + rand.N(cleanEvery)): //nolint:gosec // jitter, not a secret
		}
		if _, err := CleanOnce(ctx, pool); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "old idempotency keys stay for now", "error", err)
		}
	}
}

// CleanOnce deletes all keys older than Keep, a few thousand at a time, and
// returns how many they were.
func CleanOnce(ctx context.Context, pool *postgres.Pool) (n int64, err error) {
	for {
		tag, err := pool.Exec(ctx, `
			delete from idempotency_keys where ctid = any (array(
				select ctid from idempotency_keys where created_at < now() - $1::interval
				limit $2 for update skip locked))`, Keep, cleanAtOnce)
		if err != nil {
			return n, fmt.Errorf("delete old idempotency keys: %w", err)
		}
		n += tag.RowsAffected()
		if tag.RowsAffected() < cleanAtOnce {
			return n, nil
		}
	}
}
