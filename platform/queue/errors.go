package queue

import (
	"errors"
	"time"
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

type permanent struct{ error }

func (e *permanent) Unwrap() error { return e.error }

type later struct {
	error
	wait time.Duration
}

func (e *later) Unwrap() error { return e.error }
