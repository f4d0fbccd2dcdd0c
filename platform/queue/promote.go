package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Promote gives the first priority to the jobs of a queue that have waited for a worker for longer
// than age, the oldest first and at most limit of them, and returns their number. River works all
// jobs of one priority before those of the next, so jobs of a low priority would never run while the
// others keep all workers busy. Repeated in an interval, Promote guarantees them limit jobs in each
// interval, and delays the others by no more than these.
//
// Any number of nodes may call it at once: none waits for a job that another one promotes or starts.
func Promote(ctx context.Context, q postgres.Querier, queue string, age time.Duration, limit int) (promoted int, err error) {
	tag, err := q.Exec(ctx, `
		with oldest as (
			select w.id from generate_series(2, 4) as p (priority), lateral (
				select j.id, j.scheduled_at from river_job j
				where j.state = 'available' and j.queue = $1 and j.priority = p.priority and j.scheduled_at < now() - make_interval(secs => $2)
				order by j.scheduled_at, j.id limit $3
			) w
			order by w.scheduled_at, w.id limit $3
		), locked as (
			select id from river_job where id in (select id from oldest) and state = 'available' for update skip locked
		)
		update river_job set priority = 1 from locked where river_job.id = locked.id`, queue, age.Seconds(), limit)
	if err != nil {
		return 0, fmt.Errorf("promote jobs of queue %s: %w", queue, err)
	}
	return int(tag.RowsAffected()), nil
}
