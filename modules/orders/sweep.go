package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// The interval at which each node that works jobs looks for orders without a next step, and
// the time after which an order with a live job but no progress is reported.
const (
	sweepEvery  = 10 * time.Second
	reportAfter = 5 * time.Minute
)

// While accounts with few orders keep all workers busy, jobs of a low priority that are older than
// promoteAfter get this many turns a second on each node. See package queue.
const (
	promoteEvery  = time.Second
	promoteAfter  = 10 * time.Second
	promoteAtOnce = 100
)

// Sweep runs until ctx ends. Any number of nodes may sweep: each skips the rows that another
// has locked.
func (m *Module) Sweep(ctx context.Context) error {
	return periodic.Run(ctx, periodic.Task{
		Name: "sweep orders", Interval: sweepEvery, Jitter: 0.25, Log: m.Log,
		Run: func(ctx context.Context) (err error) {
			for _, once := range []func(context.Context) (int, error){m.SweepOnce, m.ExpireOnce, m.FoldCounts, m.ReindexOnce} {
				err = errors.Join(err, untilDone(ctx, once))
			}
			return err
		},
	}, periodic.Task{
		Name: "promote jobs", Interval: promoteEvery, Jitter: 0.25, Log: m.Log,
		Run: func(ctx context.Context) error {
			_, err := m.PromoteJobs(ctx)
			return err
		},
	})
}

// PromoteJobs lets the jobs run next that have waited the longest behind those of a higher priority,
// and returns their number (SPEC F13).
func (m *Module) PromoteJobs(ctx context.Context) (promoted int, err error) {
	return queue.Promote(ctx, m.Pool, river.QueueDefault, promoteAfter, promoteAtOnce)
}

func untilDone(ctx context.Context, once func(context.Context) (int, error)) error {
	for {
		if found, err := once(ctx); err != nil || found < sweepAtOnce {
			return err
		}
	}
}

// SweepOnce handles the orders that are past their deadline and returns their number. An order
// without a live job gets a new one; a slow one gets a later deadline and is reported if it
// stays slow (SPEC D6).
func (m *Module) SweepOnce(ctx context.Context) (found int, err error) {
	err = m.withFound(ctx,
		func(tx pgx.Tx) ([]uuid.UUID, error) {
			late, err := overdue(ctx, tx)
			found = len(late)
			return late, err
		},
		func(u *unitOfWork) error { return u.repair(ctx) })
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
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

// repair extends the deadlines of late orders and inserts jobs for those without a live one.
func (u *unitOfWork) repair(ctx context.Context) error {
	ids := make([]uuid.UUID, len(u.orders))
	for i, o := range u.orders {
		ids[i] = o.ID
	}
	alive, err := queue.Live(ctx, u.tx, river.QueueDefault, processKind, "orderId", ids)
	if err != nil {
		return err
	}
	for _, o := range u.orders {
		o.Postpone(o.At())
		switch {
		case !alive[o.ID]:
			o.NeedsJob = true
			u.reportLate(ctx, o, "job-lost")
		case time.Since(o.UpdatedAt) >= reportAfter:
			u.reportLate(ctx, o, "overdue")
		}
	}
	return nil
}

func (u *unitOfWork) reportLate(ctx context.Context, o *lockedOrder, cause string) {
	o.Record(o.ReportLate(cause))
	u.m.metrics.stalled.WithLabelValues(cause).Inc()
	u.m.Log.WarnContext(ctx, "order stalled", "order_id", o.ID, "status", o.Status, "cause", cause)
}
