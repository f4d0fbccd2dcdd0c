package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Depth is the number of jobs of a queue in one state of River.
type Depth struct {
	Queue, State string
	Jobs         int64
	// Overdue is how long ago the first of these jobs was due; zero if none is due yet.
	Overdue time.Duration
}

// Depths returns the depths of all queues for the states in which jobs are not final. Its cost grows
// with the number of these jobs.
func Depths(ctx context.Context, q postgres.Querier) ([]Depth, error) {
	rows, err := q.Query(ctx, `
		select queue, state::text, count(*), greatest(extract(epoch from clock_timestamp() - min(scheduled_at)), 0)::double precision
		from river_job where state in ('available', 'pending', 'retryable', 'running', 'scheduled')
		group by queue, state order by queue, state`)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Depth, err error) {
		var seconds float64
		err = row.Scan(&d.Queue, &d.State, &d.Jobs, &seconds)
		d.Overdue = time.Duration(seconds * float64(time.Second))
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return list, nil
}

// Leads reports whether a client is the leader of River's maintenance at present. At most one client of
// all nodes is.
func Leads(ctx context.Context, q postgres.Querier, c *Client) (leads bool, err error) {
	err = q.QueryRow(ctx, `select exists (select from river_leader where leader_id = $1 and expires_at > now())`, c.ID()).Scan(&leads)
	if err != nil {
		return false, fmt.Errorf("read the leader of the queue: %w", err)
	}
	return leads, nil
}
