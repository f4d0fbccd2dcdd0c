// Package queue configures River with one set of timings.
//
// A process that only serves the API inserts jobs and never starts its client. A process that works
// jobs must know every kind of job, because a started client discards jobs of an unknown kind.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Client inserts jobs, also in a transaction, and works them after Start.
type Client = river.Client[pgx.Tx]

// The timings of all jobs. The timeout of a job is below the time after which River considers the
// job lost with its worker (SPEC D5).
const (
	JobTimeout  = 20 * time.Second
	RescueAfter = 60 * time.Second
	// MaxAttempts is the number of attempts of a retryable job (SPEC D4).
	MaxAttempts = 8

	// The inserting client limits its notifications by its own cooldown, so both sides need the
	// small value. It takes 0.7 ms instead of 50 ms from commit to start.
	fetchCooldown = 2 * time.Millisecond
	// River sends its notification when a job is inserted, not when it is committed. Polling finds
	// the jobs that commit late.
	fetchPoll = 100 * time.Millisecond
	// At thousands of orders per second, completed jobs would become the largest table.
	completedRetention = 5 * time.Minute
	startRetry         = 500 * time.Millisecond
	// The time that canceled jobs have to return.
	cancelTimeout = 10 * time.Second
)

// NewInserter returns a client that inserts jobs and cannot work them.
func NewInserter(pool *postgres.Pool, log *slog.Logger) (*Client, error) {
	c, err := river.NewClient(riverpgxv5.New(pool.Pool), &river.Config{
		Logger:        log,
		FetchCooldown: fetchCooldown,
		MaxAttempts:   MaxAttempts,
		Middleware:    []rivertype.Middleware{databaseTime{pool}},
	})
	if err != nil {
		return nil, fmt.Errorf("make the inserting client: %w", err)
	}
	return c, nil
}

// Options configure a working client.
type Options struct {
	Workers    *river.Workers
	MaxWorkers int // jobs that run at once on this node; 500 when zero
	// Queues names additional queues and the number of their jobs that run at once. Jobs that wait
	// for servers of third parties get their own queue, so that they do not occupy the slots of the
	// others.
	Queues     map[string]int
	Middleware []rivertype.Middleware // the first is the outermost
	Log        *slog.Logger
}

// NewWorker returns a client that works jobs after Run or Start.
func NewWorker(pool *postgres.Pool, o Options) (*Client, error) {
	if o.MaxWorkers == 0 {
		o.MaxWorkers = 500
	}
	middleware := append([]rivertype.Middleware{databaseTime{pool}, snoozeMiddleware{}}, o.Middleware...)
	queues := map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: o.MaxWorkers}}
	for name, slots := range o.Queues {
		queues[name] = river.QueueConfig{MaxWorkers: slots}
	}
	c, err := river.NewClient(riverpgxv5.New(pool.Pool), &river.Config{
		Logger:                      o.Log,
		Workers:                     o.Workers,
		Queues:                      queues,
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           fetchPoll,
		JobTimeout:                  JobTimeout,
		RescueStuckJobsAfter:        RescueAfter,
		CompletedJobRetentionPeriod: completedRetention,
		MaxAttempts:                 MaxAttempts,
		RetryPolicy:                 backoff{},
		Middleware:                  middleware,
	})
	if err != nil {
		return nil, fmt.Errorf("make the working client: %w", err)
	}
	return c, nil
}

// Run starts a working client and stops it when ctx ends. Running jobs may finish for the duration
// soft. Then their contexts are canceled, and workers return a snooze instead of a failed attempt
// (SPEC D5).
func Run(ctx context.Context, c *Client, soft time.Duration) error {
	// A database that is unavailable at start-up must not end the process, because that would also
	// stop the parts that already run.
	for err := c.Start(context.WithoutCancel(ctx)); err != nil; err = c.Start(context.WithoutCancel(ctx)) {
		slog.WarnContext(ctx, "the queue cannot start yet, retrying", "error", err)
		select {
		case <-time.After(startRetry):
		case <-ctx.Done():
			return nil
		}
	}
	<-ctx.Done()

	gentle, cancel := context.WithTimeout(context.Background(), soft)
	defer cancel()
	if err := c.Stop(gentle); err == nil {
		return nil
	}
	hard, cancel := context.WithTimeout(context.Background(), cancelTimeout)
	defer cancel()
	if err := c.StopAndCancel(hard); err != nil {
		return fmt.Errorf("stop the queue: %w", err)
	}
	return nil
}

// Stopping reports whether the context of a job ended because the node is stopping. The job should
// then return river.JobSnooze(0), which does not count as an attempt (SPEC D5). It returns false
// for a job that timed out or was canceled by a user.
func Stopping(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled) && !errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely)
}

// backoff waits 1, 2, 4 ... 64 s between attempts, each up to a quarter more or less, so that jobs
// that failed together do not retry together.
type backoff struct{}

func (backoff) NextRetry(job *rivertype.JobRow) time.Time {
	wait := math.Exp2(float64(min(len(job.Errors), MaxAttempts-2))) // seconds
	//nolint:gosec // jitter, not a secret
	jitter := 0.75 + rand.Float64()/2
	return time.Now().Add(time.Duration(wait * jitter * float64(time.Second)))
}
