package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// Census has figures of all orders for metrics.
type Census struct {
	Stats
	DeadLetters map[string]int64 // the open ones by step
}

// Census returns the figures. Its cost does not depend on the number of orders (SPEC G2), only on that
// of the open dead letters.
func (m *Module) Census(ctx context.Context) (Census, error) {
	c := Census{DeadLetters: map[string]int64{}}
	var err error
	if c.Stats, err = m.statsAt(ctx, uuid.Nil, events.Now()); err != nil {
		return c, err
	}
	rows, err := m.Pool.Query(ctx, `select step, count(*) from dead_letters where resolved_at is null group by step`)
	if err != nil {
		return c, fmt.Errorf("count dead letters: %w", err)
	}
	var step string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&step, &n}, func() error {
		c.DeadLetters[step] = n
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("count dead letters: %w", err)
	}
	return c, nil
}
