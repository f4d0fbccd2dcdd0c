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

	lru "github.com/hashicorp/golang-lru/v2"
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
	// time. It closes when all of them succeed, and opens again when one fails, or of calls for
	// callers (see For) when those of two callers fail.
	Open   time.Duration // 5 s
	Probes uint32        // 3

	// OnChange is called after every change between closed (available), open (unavailable) and
	// half-open (probing). It is called under the breaker's lock: set a gauge, write a log line,
	// do not call the service.
	OnChange func(name, from, to string)

	// OnCallerChange is the same for a breaker of one caller (see For).
	OnCallerChange func(name, from, to string)
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
	all     *circuit[T]
	callers *lru.Cache[string, *circuit[T]]
	failed  *lru.Cache[string, time.Time] // when a failure of the caller was last counted for all
	probed  atomic.Pointer[string]        // the caller whose probe failed first while half-open
	options Options
	healthy func(error) bool
}

// circuit is a breaker of gobreaker with what gobreaker does not count or expose.
type circuit[T any] struct {
	*gobreaker.CircuitBreaker[T]
	reopens atomic.Int64 // in Unix nanoseconds
	inARow  int          // failures; under gobreaker's lock
}

// maxCallers is the number of callers that are told apart. The one whose call is the longest ago
// is forgotten.
const maxCallers = 1_000

type callerKey struct{}

// For returns a context whose calls are made on behalf of a caller, such as an account. What one
// caller sends may make a call fail while the service is available. Therefore its failures count
// once in a Window, so that they do not open the breaker for others, and failed probes of one caller
// do not open it again; a breaker of its own refuses the calls of the caller alone. Calls without a
// caller count each.
func For(ctx context.Context, caller string) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// New returns a closed breaker. The name is passed to OnChange. A nil error, and an error for which
// healthy returns true, are responses of an available service. All other errors are failures,
// including timeouts. A call whose context was canceled counts as neither.
func New[T any](name string, healthy func(error) bool, o Options) *Breaker[T] {
	b := &Breaker[T]{options: o.withDefaults(), healthy: healthy}
	b.callers, _ = lru.New[string, *circuit[T]](maxCallers) // fails only for a size below one
	b.failed, _ = lru.New[string, time.Time](maxCallers)
	b.all = b.circuit(name, func(name, from, to string) {
		b.failed.Purge() // failures from before the change say nothing about the service after it
		b.probed.Store(nil)
		if o.OnChange != nil {
			o.OnChange(name, from, to)
		}
	})
	return b
}

func (b *Breaker[T]) circuit(name string, onChange func(name, from, to string)) *circuit[T] {
	o, c := b.options, &circuit[T]{}
	c.CircuitBreaker = gobreaker.NewCircuitBreaker[T](gobreaker.Settings{
		Name:         name,
		MaxRequests:  o.Probes,
		Interval:     o.Window,
		BucketPeriod: o.Window / 10,
		Timeout:      o.Open,
		IsExcluded:   isExcluded,
		IsSuccessful: func(err error) bool { return c.count(b.answered(err)) },
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			// Not counts.Requests, because they include the calls in progress.
			answers := counts.TotalSuccesses + counts.TotalFailures
			return c.inARow >= o.InARow ||
				answers >= o.Sample && float64(counts.TotalFailures) >= o.Share*float64(answers)
		},
		OnStateChange: func(name string, from, to gobreaker.State) {
			c.inARow = 0
			if to == gobreaker.StateOpen {
				c.reopens.Store(time.Now().Add(o.Open).UnixNano())
			}
			if onChange != nil {
				onChange(name, from.String(), to.String())
			}
		},
	})
	return c
}

// count counts consecutive failures. The count of gobreaker covers only the window, so calls that
// time out one after the other would never reach the limit.
func (c *circuit[T]) count(answered bool) bool {
	if answered {
		c.inARow = 0
		return true
	}
	c.inARow++
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
	limited := func() (T, error) {
		limited, cancel := context.WithTimeout(ctx, b.options.Timeout)
		defer cancel()
		result, err := call(limited)
		return result, b.explain(ctx, limited, err)
	}
	caller, named := ctx.Value(callerKey{}).(string)
	if !named {
		return b.through(b.all, limited)
	}
	return b.through(b.own(caller), func() (T, error) {
		result, err := b.through(b.all, func() (T, error) {
			result, err := limited()
			return result, b.once(caller, err)
		})
		if again, ok := errors.AsType[*repeated](err); ok {
			err = again.cause // it is a failure to the caller's own breaker
		}
		return result, err
	})
}

// through makes a call if the circuit lets it through.
func (b *Breaker[T]) through(c *circuit[T], call func() (T, error)) (T, error) {
	made := false
	result, err := c.Execute(func() (T, error) {
		made = true
		return call()
	})
	if !made {
		var zero T
		until := time.Until(time.Unix(0, c.reopens.Load()))
		return zero, &OpenError{max(until, b.options.Open/5), err} // while others probe, there is no time yet
	}
	return result, err
}

// own returns the circuit of a caller. Two first calls at once may use one each, of which one is
// kept.
func (b *Breaker[T]) own(caller string) *circuit[T] {
	if c, known := b.callers.Get(caller); known {
		return c
	}
	c := b.circuit(b.all.Name(), b.options.OnCallerChange)
	if earlier, known, _ := b.callers.PeekOrAdd(caller, c); known {
		return earlier
	}
	return c
}

// once marks a failure of a caller that had one within the window, and a failed probe unless that of
// another caller failed as well.
func (b *Breaker[T]) once(caller string, err error) error {
	if b.answered(err) || isExcluded(err) {
		return err
	}
	if b.all.State() == gobreaker.StateHalfOpen {
		if b.probed.CompareAndSwap(nil, &caller) {
			return &repeated{err}
		}
		if first := b.probed.Load(); first == nil || *first == caller {
			return &repeated{err}
		}
		return err
	}
	at, before := b.failed.Get(caller)
	if before && time.Since(at) < b.options.Window {
		return &repeated{err}
	}
	b.failed.Add(caller, time.Now())
	return err
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

// repeated is a failure of a caller that does not count for all.
type repeated struct{ cause error }

func (e *repeated) Error() string { return e.cause.Error() }
func (e *repeated) Unwrap() error { return e.cause }

// isExcluded reports whether an error is not a result of the service. To the breaker of a caller,
// a call that the breaker of all refused is none.
func isExcluded(err error) bool {
	_, canceled := errors.AsType[*givenUp](err)
	_, again := errors.AsType[*repeated](err)
	_, refused := errors.AsType[*OpenError](err)
	return canceled || again || refused
}
