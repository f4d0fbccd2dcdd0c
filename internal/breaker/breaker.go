// Package breaker is a circuit breaker with a timeout for calls to another service, such as a
// payment provider or the service of an HTTP step. It adds to gobreaker what jobs need: consecutive
// failures count regardless of the time between them, a call that this process canceled does not
// count as a result, and the error of a rejected call says how long to wait.
package breaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Options define when a service counts as unavailable. The zero value is what the product uses,
// except for Timeout; tests shorten the times.
type Options struct {
	Timeout time.Duration // of one call; 10 s. Keep it below the job's own

	// The service is unavailable after InARow failures one after the other, or when Share of at
	// least Sample results within Window are failures.
	InARow int           // 10
	Sample uint32        // 20
	Share  float64       // 0.5
	Window time.Duration // 10 s

	// The breaker then refuses all calls for Open, and afterwards lets Probes calls through at a
	// time. It closes when all of them succeed, and opens again when one fails.
	Open   time.Duration // 5 s
	Probes uint32        // 3

	// OnChange is called after every change between closed (available), open (unavailable) and
	// half-open (probing). It is called under the breaker's lock: set a gauge, write a log line,
	// do not call the service.
	OnChange func(name, from, to string)
}

func (o Options) withDefaults() Options {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.InARow = cmp.Or(o.InARow, 10)
	o.Sample = cmp.Or(o.Sample, 20)
	o.Share = cmp.Or(o.Share, 0.5)
	o.Window = cmp.Or(o.Window, 10*time.Second)
	o.Open = cmp.Or(o.Open, 5*time.Second)
	o.Probes = cmp.Or(o.Probes, 3)
	return o
}

// OpenError is the error of a call that was not made, because the service is unavailable. Calls
// that are refused together get about the same RetryAfter, so the caller adds jitter.
type OpenError struct {
	RetryAfter time.Duration
	cause      error
}

// Error returns the text of the cause.
func (e *OpenError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.cause }

// Breaker guards the calls to one service. They return a T.
type Breaker[T any] struct {
	breaker *gobreaker.CircuitBreaker[T]
	healthy func(error) bool
	timeout time.Duration
	probe   time.Duration // the wait of a call that is rejected while others probe
	reopens atomic.Int64  // in Unix nanoseconds; gobreaker does not expose it
	inARow  int           // failures; under gobreaker's lock
}

// New returns a closed breaker. The name is passed to OnChange. A nil error, and an error for which
// healthy returns true, are responses of an available service. All other errors are failures,
// including timeouts. A call whose context was canceled counts as neither.
func New[T any](name string, healthy func(error) bool, o Options) *Breaker[T] {
	o = o.withDefaults()
	b := &Breaker[T]{healthy: healthy, timeout: o.Timeout, probe: o.Open / 5}
	b.breaker = gobreaker.NewCircuitBreaker[T](gobreaker.Settings{
		Name:         name,
		MaxRequests:  o.Probes,
		Interval:     o.Window,
		BucketPeriod: o.Window / 10,
		Timeout:      o.Open,
		IsExcluded:   isGivenUp,
		IsSuccessful: b.count,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			// Not c.Requests, because they include the calls in progress.
			answers := c.TotalSuccesses + c.TotalFailures
			return b.inARow >= o.InARow ||
				answers >= o.Sample && float64(c.TotalFailures) >= o.Share*float64(answers)
		},
		OnStateChange: func(name string, from, to gobreaker.State) {
			b.inARow = 0
			if to == gobreaker.StateOpen {
				b.reopens.Store(time.Now().Add(o.Open).UnixNano())
			}
			if o.OnChange != nil {
				o.OnChange(name, from.String(), to.String())
			}
		},
	})
	return b
}

// count counts consecutive failures. The count of gobreaker covers only the window, so calls that
// time out one after the other would never reach the limit.
func (b *Breaker[T]) count(err error) bool {
	if b.answered(err) {
		b.inARow = 0
		return true
	}
	b.inARow++
	return false
}

func (b *Breaker[T]) answered(err error) bool { return err == nil || b.healthy(err) }

// Do makes a call with a context that ends after the timeout. It returns the error of the call,
// wrapped if the call timed out or was canceled, or an *OpenError if it made no call. It returns
// the error of ctx without a call if ctx has already ended.
func (b *Breaker[T]) Do(ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	made := false
	result, err := b.breaker.Execute(func() (T, error) {
		made = true
		limited, cancel := context.WithTimeout(ctx, b.timeout)
		defer cancel()
		result, err := call(limited)
		return result, b.explain(ctx, limited, err)
	})
	if !made {
		until := time.Until(time.Unix(0, b.reopens.Load()))
		return zero, &OpenError{max(until, b.probe), err}
	}
	return result, err
}

// explain marks the error of a call that this process canceled, and adds to the error of one that
// ran out of time that it did.
func (b *Breaker[T]) explain(ctx, limited context.Context, err error) error {
	switch {
	case b.answered(err):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return &givenUp{err}
	case limited.Err() != nil:
		return fmt.Errorf("no answer in time: %w", err)
	default:
		return err
	}
}

// givenUp is the error of a call that this process canceled.
type givenUp struct{ cause error }

func (e *givenUp) Error() string { return "given up: " + e.cause.Error() }
func (e *givenUp) Unwrap() error { return e.cause }

func isGivenUp(err error) bool {
	_, ok := errors.AsType[*givenUp](err)
	return ok
}
