// Package queue is River with one set of timings.
//
// A process that only serves the API inserts and never starts; a process that
// works knows every kind of job, because a started client that does not know a
// kind would discard it when it leads.
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

// Client inserts jobs, also in a transaction, and works them once started.
type Client = river.Client[pgx.Tx]

// The timings of the whole product. A job's limit stays below the time after
// which it counts as lost with its worker (SPEC D5).
const (
	JobTimeout  = 20 * time.Second
	RescueAfter = 60 * time.Second
	// MaxAttempts is how often a retryable job is tried (SPEC D4).
	MaxAttempts = 8

	// The inserting client limits its notifications by its own cool-down, so both
	// sides need the small one: 0.7 ms from commit to start instead of 50.
	fetchCooldown = 2 * time.Millisecond
	// A notification is spent when a job is inserted, not when it is committed:
	// what commits late is found by the poll.
	fetchPoll = 100 * time.Millisecond
	// At thousands of orders a second, done jobs would be the largest table.
	keepCompleted = 5 * time.Minute
	startAgain    = 500 * time.Millisecond
	// How long cancelled jobs may take to notice.
	cancelWithin = 10 * time.Second
)

// Inserter makes a client that cannot work jobs.
func Inserter(pool *postgres.Pool, log *slog.Logger) (*Client, error) {
	c, err := river.NewClient(riverpgxv5.New(pool.Pool), &river.Config{
		Logger:        log,
		FetchCooldown: fetchCooldown,
		MaxAttempts:   MaxAttempts,
	})
	if err != nil {
		return nil, fmt.Errorf("make the inserting client: %w", err)
	}
	return c, nil
}

// Options for a working client.
type Options struct {
	Workers *river.Workers
	Slots   int // jobs that run at once on this node; 500 when zero
	// Apart names further queues and how many of their jobs run at once: what waits
	// for strangers must not take the slots of what does not.
	Apart    map[string]int
	Observer rivertype.Middleware
	Log      *slog.Logger
}

// Worker makes a client that works jobs once it is started.
func Worker(pool *postgres.Pool, o Options) (*Client, error) {
	if o.Slots == 0 {
		o.Slots = 500
	}
	middleware := []rivertype.Middleware{patience{}}
	if o.Observer != nil {
		middleware = append(middleware, o.Observer)
	}
	queues := map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: o.Slots}}
	for name, slots := range o.Apart {
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
		CompletedJobRetentionPeriod: keepCompleted,
		MaxAttempts:                 MaxAttempts,
		RetryPolicy:                 backoff{},
		Middleware:                  middleware,
	})
	if err != nil {
		return nil, fmt.Errorf("make the working client: %w", err)
	}
	return c, nil
}

// Run starts a working client and stops it when ctx ends: what runs may finish
// for soft, then its context is cancelled, which a worker turns into "come back
// later" rather than a failed try (SPEC D5).
func Run(ctx context.Context, c *Client, soft time.Duration) error {
	// A database that goes away just now is no reason for the process to end: what is
	// up already would go down with it.
	for err := c.Start(context.WithoutCancel(ctx)); err != nil; err = c.Start(context.WithoutCancel(ctx)) {
		slog.WarnContext(ctx, "the queue cannot start yet", "error", err)
		select {
		case <-time.After(startAgain):
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
	hard, cancel := context.WithTimeout(context.Background(), cancelWithin)
	defer cancel()
	if err := c.StopAndCancel(hard); err != nil {
		return fmt.Errorf("stop the queue: %w", err)
	}
	return nil
}

// Stopping tells a job whether its context ended because the node is stopping:
// it should return river.JobSnooze(0), which counts no try (SPEC D5). A job that
// ran out of time, or that somebody cancelled, is not meant.
func Stopping(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled) && !errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely)
}

// backoff waits 1, 2, 4 ... 64 s between tries, each up to a quarter more or
// less, so that what failed together does not come back together.
type backoff struct{}

func (backoff) NextRetry(job *rivertype.JobRow) time.Time {
	wait := math.Exp2(float64(min(len(job.Errors), MaxAttempts-2))) // seconds
	//nolint:gosec // jitter, not a secret
	jitter := 0.75 + rand.Float64()/2
	return time.Now().Add(time.Duration(wait * jitter * float64(time.Second)))
}
