package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// maxSkew is the difference between the clocks of a node and of the database that is reported. Times in
// the API come from the nodes, and what is due is decided by the database (see queue.databaseTime).
const maxSkew = time.Second

// clock compares the clock of this node with that of the database.
type clock struct {
	pool *postgres.Pool
	log  *slog.Logger

	told bool
}

func (c *clock) run(ctx context.Context) error {
	return periodic.Run(ctx, periodic.Task{
		Name: "compare the clocks", Interval: 15 * time.Second, Jitter: 0.1, Immediately: true, Log: c.log, Run: c.read,
	})
}

// read measures the skew. It logs when the skew exceeds the limit and when it no longer does.
func (c *clock) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ahead, err := c.pool.MeasureSkew(ctx)
	if err != nil {
		return err
	}
	switch wide := c.isWide(); {
	case wide && !c.told:
		c.log.WarnContext(ctx, "the clocks of this node and of the database differ; synchronize both", "database_ahead", ahead.Round(time.Millisecond).String())
		c.told = true
	case !wide && c.told:
		c.log.InfoContext(ctx, "the clocks of this node and of the database agree again")
		c.told = false
	}
	return nil
}

func (c *clock) skew() time.Duration { return c.pool.MeasuredSkew() }

func (c *clock) isWide() bool { return c.skew().Abs() > maxSkew }
