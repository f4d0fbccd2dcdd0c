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

// Permanent marks an error that no further try can mend (SPEC D4).
func Permanent(err error) error { return &permanent{err} }

// IsPermanent tells whether an error is marked so.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanent](err)
	return ok
}

// Later marks an error that says nothing about the job: what it needs is away,
// and it comes back after wait without a try being counted (SPEC D4).
func Later(wait time.Duration, err error) error { return &later{err, wait} }

// IsLater tells whether an error is marked so, and how long to wait.
func IsLater(err error) (wait time.Duration, ok bool) {
	l, ok := errors.AsType[*later](err)
	if !ok {
		return 0, false
	}
	return l.wait, true
}

// withoutDatabase is how long a job waits when the database cannot do its work.
const withoutDatabase = 5 * time.Second

// Patient turns the error of a job that failed since the database is unavailable into a
// snooze, which counts no attempt: it says nothing about the job. It leaves other errors,
// nil and snoozes as they are; so it does damage and I/O errors (classes XX and 58), which may be
// of one row, and then need a person. Every working client applies it to what workers return; a
// worker that gives up by itself after its last attempt asks it before.
func Patient(err error) error {
	_, isSnooze := errors.AsType[*river.JobSnoozeError](err)
	if err == nil || isSnooze || !postgres.Unavailable(err) {
		return err
	}
	if code := postgres.Code(err); strings.HasPrefix(code, "XX") || strings.HasPrefix(code, "58") {
		return err
	}
	return river.JobSnooze(withoutDatabase + rand.N(withoutDatabase)) //nolint:gosec // jitter: they must not all come back at once
}

// patience is Patient as River's middleware.
type patience struct{}

// IsMiddleware marks it for River.
func (patience) IsMiddleware() bool { return true }

// Work implements river's worker middleware.
func (patience) Work(ctx context.Context, _ *rivertype.JobRow, inner func(context.Context) error) error {
	return Patient(inner(ctx))
}

type permanent struct{ error }

func (e *permanent) Unwrap() error { return e.error }

type later struct {
	error
	wait time.Duration
}

func (e *later) Unwrap() error { return e.error }
