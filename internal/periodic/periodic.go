// Package periodic runs a task again and again until its context ends.
//
// The tasks are those that each node may run at any time, such as deleting what is old. They
// need no leader and leave no row per run, unlike River's periodic jobs, and they run at the
// intervals of fractions of a second that polling needs.
package periodic

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/orderflow-dev/orderflow/internal/wakeup"
)

// Task is a function to repeat and its schedule.
type Task struct {
	// Name says in the log what fails, for example "sweep orders".
	Name string
	// Interval is the time between the starts of two runs. A run that takes longer is followed
	// by the next at once. Without an interval only Wake starts a run.
	Interval time.Duration
	// Jitter spreads each interval by a share of itself in both directions, so that nodes do
	// not run the task at the same moments. It is between 0 and 1.
	Jitter float64
	// Immediately starts the first run at once rather than after an interval.
	Immediately bool
	// Wake starts a run before its time. It may be nil.
	Wake wakeup.Signal
	// Log receives a warning when runs begin to fail and a note when they succeed again, and
	// nothing for the failures in between.
	Log *slog.Logger
	// Run is the task. A panic counts as an error, so that it cannot end the process.
	Run func(ctx context.Context) error
}

// Run repeats tasks, each in its own goroutine, until ctx ends and all of them have returned.
// It returns nil; an error of a run is logged and the task goes on.
func Run(ctx context.Context, tasks ...Task) error {
	var all sync.WaitGroup
	for _, task := range tasks {
		all.Go(func() { task.repeat(ctx) })
	}
	all.Wait()
	return nil
}

func (t *Task) repeat(ctx context.Context) {
	timer := time.NewTimer(t.firstWait())
	defer timer.Stop()
	if t.Interval == 0 && !t.Immediately {
		timer.Stop()
	}

	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.Wake:
		case <-timer.C:
		}

		began := time.Now()
		err := t.guarded(ctx)
		if ctx.Err() != nil {
			return
		}
		t.report(ctx, err, failing)
		failing = err != nil
		if t.Interval > 0 {
			timer.Reset(t.wait() - time.Since(began))
		}
	}
}

func (t *Task) firstWait() time.Duration {
	if t.Immediately {
		return 0
	}
	return t.wait()
}

func (t *Task) wait() time.Duration {
	spread := t.Jitter * (2*rand.Float64() - 1) //nolint:gosec // jitter, not a secret
	return t.Interval + time.Duration(spread*float64(t.Interval))
}

func (t *Task) report(ctx context.Context, err error, failing bool) {
	switch {
	case err != nil && !failing:
		t.Log.WarnContext(ctx, "periodic task fails", "task", t.Name, "error", err)
	case err == nil && failing:
		t.Log.InfoContext(ctx, "periodic task works again", "task", t.Name)
	}
}

func (t *Task) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return t.Run(ctx)
}
