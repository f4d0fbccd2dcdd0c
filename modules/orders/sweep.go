package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/periodic"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// How often each working node looks for orders without a next step, how many it
// takes at once, and after how long an order whose job is alive but gets nowhere
// is reported.
const (
	sweepEvery  = 10 * time.Second
	sweepAtOnce = 500
	reportAfter = 5 * time.Minute
)

// Sweep runs until ctx ends. Any number of nodes may sweep: rows that one has
// locked are skipped by the others.
func (m *Module) Sweep(ctx context.Context) error {
	return periodic.Run(ctx, periodic.Task{
		Name: "sweep orders", Interval: sweepEvery, Jitter: 0.25, Log: m.Log,
		Run: func(ctx context.Context) (err error) {
			for _, once := range []func(context.Context) (int, error){m.SweepOnce, m.ExpireOnce, m.FoldCounts} {
				err = errors.Join(err, untilDone(ctx, once))
			}
			return err
		},
	})
}

func untilDone(ctx context.Context, once func(context.Context) (int, error)) error {
	for {
		if found, err := once(ctx); err != nil || found < sweepAtOnce {
			return err
		}
	}
}

// SweepOnce looks at the orders that are past their deadline and returns how
// many there were. One without a live job gets a new one; one that is only slow
// gets more time, and is reported when that goes on (SPEC D6).
func (m *Module) SweepOnce(ctx context.Context) (found int, err error) {
	var changes []*change
	err = postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		changes = nil
		late, err := overdue(ctx, tx)
		if err != nil || len(late) == 0 {
			return err
		}
		found = len(late)

		rows, err := lock(ctx, tx, late)
		if err != nil {
			return err
		}
		alive, err := queue.Live(ctx, tx, river.QueueDefault, processKind, "orderId", late)
		if err != nil {
			return err
		}
		if changes, err = m.repair(ctx, tx, rows, alive); err != nil {
			return err
		}
		if err := m.write(ctx, tx, changes, nil); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update orders set due_at = $2 where id = any($1)`, late, events.Now().Add(dueAfter))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	m.announce(changes)
	return found, nil
}

func overdue(ctx context.Context, tx pgx.Tx) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `
		select id from orders where due_at < $1 order by due_at limit $2 for no key update skip locked`,
		events.Now(), sweepAtOnce)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

func (m *Module) repair(ctx context.Context, tx pgx.Tx, rows []*ent.Order, alive map[uuid.UUID]bool) ([]*change, error) {
	var (
		changes []*change
		jobs    []river.InsertManyParams
	)
	for _, row := range rows {
		cause := "overdue"
		if !alive[row.ID] {
			cause = "job-lost"
			jobs = append(jobs, river.InsertManyParams{Args: ProcessArgs{OrderID: row.ID}})
		} else if time.Since(row.UpdatedAt) < reportAfter {
			continue
		}

		c := newChange(row, identity.System)
		if err := c.note(typeStalled, Data{Cause: cause}); err != nil {
			return nil, err
		}
		m.metrics.stalled.WithLabelValues(cause).Inc()
		m.Log.WarnContext(ctx, "order stalled", "order_id", row.ID, "status", row.Status, "cause", cause)
		changes = append(changes, c)
	}
	if len(jobs) == 0 {
		return changes, nil
	}
	if _, err := m.Queue.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return nil, fmt.Errorf("insert jobs: %w", err)
	}
	return changes, nil
}
