package orders

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
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
	for {
		wait := sweepEvery*3/4 + rand.N(sweepEvery/2) //nolint:gosec // jitter, so that nodes do not sweep in step
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		for _, once := range []func(context.Context) (int, error){m.SweepOnce, m.ExpireOnce, m.FoldCounts} {
			m.untilDone(ctx, once)
		}
	}
}

func (m *Module) untilDone(ctx context.Context, once func(context.Context) (int, error)) {
	for {
		found, err := once(ctx)
		if err != nil && ctx.Err() == nil {
			m.Out.WarnContext(ctx, "sweep failed", "error", err)
		}
		if err != nil || found < sweepAtOnce {
			return
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
		alive, err := withJobs(ctx, tx, late)
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

// withJobs tells which of the orders have a job that will still run. It looks
// through the live jobs, which are few next to those that are done.
func withJobs(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, err := tx.Query(ctx, `
		select distinct (j.args->>'orderId')::uuid from river_job j
		where j.state in ('available', 'pending', 'retryable', 'running', 'scheduled')
		  and j.kind = $2 and j.args->>'orderId' = any($1::text[])`,
		textsOf(ids), processKind)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, err
	}
	alive := make(map[uuid.UUID]bool, len(list))
	for _, id := range list {
		alive[id] = true
	}
	return alive, nil
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
		m.Out.WarnContext(ctx, "order stalled", "order_id", row.ID, "status", row.Status, "cause", cause)
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

func textsOf(ids []uuid.UUID) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = id.String()
	}
	return list
}
