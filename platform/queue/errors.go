package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Permanent marks an error that a retry cannot fix (SPEC D4).
func Permanent(err error) error { return &permanent{err} }

// IsPermanent reports whether the chain of err contains a Permanent error.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanent](err)
	return ok
}

// Snooze marks an error that is not caused by the job: a dependency is unavailable. The job runs
// again after wait, and the attempt is not counted (SPEC D4).
func Snooze(wait time.Duration, err error) error { return &later{err, wait} }

// IsSnooze reports whether the chain of err contains a Snooze error, and returns its wait.
func IsSnooze(err error) (wait time.Duration, ok bool) {
	l, ok := errors.AsType[*later](err)
	if !ok {
		return 0, false
	}
	return l.wait, true
}

// databaseSnooze is the minimum wait of a job while the database is unavailable.
const databaseSnooze = 5 * time.Second

// SnoozeIfUnavailable converts an error that means that the database is unavailable into a snooze, which does
// not count as an attempt, because the job is not the cause. It returns all other errors, nil and
// snoozes unchanged. This includes corruption and I/O errors (classes XX and 58), which may concern
// a single row and then need an operator. Every working client applies SnoozeIfUnavailable to the results of
// its workers. A worker that handles its last attempt itself calls it first.
func SnoozeIfUnavailable(err error) error {
	_, isSnooze := errors.AsType[*river.JobSnoozeError](err)
	if err == nil || isSnooze || !postgres.Unavailable(err) {
		return err
	}
	if code := postgres.Code(err); strings.HasPrefix(code, "XX") || strings.HasPrefix(code, "58") {
		return err
	}
	return river.JobSnooze(databaseSnooze + rand.N(databaseSnooze)) //nolint:gosec // jitter: they must not all come back at once
}

// snoozeMiddleware is SnoozeIfUnavailable as a middleware of River.
type snoozeMiddleware struct{}

// IsMiddleware implements rivertype.Middleware.
func (snoozeMiddleware) IsMiddleware() bool { return true }

// Work implements rivertype.WorkerMiddleware.
func (snoozeMiddleware) Work(ctx context.Context, _ *rivertype.JobRow, inner func(context.Context) error) error {
	return SnoozeIfUnavailable(inner(ctx))
}

type permanent struct{ error }

func (e *permanent) Unwrap() error { return e.error }

type later struct {
	error
	wait time.Duration
}

func (e *later) Unwrap() error { return e.error }
