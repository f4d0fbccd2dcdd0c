package queue

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// databaseTime is a middleware of River that writes the times of jobs by the clock of the database,
// which decides what is due. River takes the clock of the node for snoozes and for jobs that are
// inserted by InsertManyFast. If the database were behind, each job would start later by the
// difference. Retries of failed jobs keep River's time, because River replaces one in the past.
type databaseTime struct{ pool *postgres.Pool }

// IsMiddleware implements rivertype.Middleware.
func (databaseTime) IsMiddleware() bool { return true }

// InsertMany implements rivertype.JobInsertMiddleware.
func (d databaseTime) InsertMany(ctx context.Context, jobs []*rivertype.JobInsertParams, insert func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	if skew := d.pool.Skew(); skew != 0 {
		for _, job := range jobs {
			at := time.Now()
			if job.ScheduledAt != nil {
				at = *job.ScheduledAt
			}
			at = at.Add(skew)
			job.ScheduledAt = &at
		}
	}
	return insert(ctx)
}

// Work implements rivertype.WorkerMiddleware.
func (d databaseTime) Work(ctx context.Context, _ *rivertype.JobRow, inner func(context.Context) error) error {
	err := inner(ctx)
	var later *river.JobSnoozeError
	if skew := d.pool.Skew(); skew != 0 && errors.As(err, &later) {
		return &river.JobSnoozeError{Duration: later.Duration + skew}
	}
	return err
}
