package payments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// GuardOptions say when a provider counts as away. The zero value is what a
// product wants; tests shorten it.
type GuardOptions struct {
	Timeout time.Duration // of one call; 10 s. Keep it below the job's own

	// It is away after so many failures in a row, however slowly they come, or when
	// that share of at least so many answers within the window are failures.
	InARow int           // 10
	Sample uint32        // 20
	Share  float64       // 0.5
	Window time.Duration // 10 s

	// Then nobody is let through for so long, and afterwards so many at a time to try;
	// when all of these went well it is back, when one fails it is away again.
	Open   time.Duration // 5 s
	Probes uint32        // 3

	// OnChange hears of every change between closed (all is well), open (away) and
	// half-open (trying). It is called under the breaker's lock: set a gauge, write a
	// line, do not call the provider.
	OnChange func(name, from, to string)
}

func (o GuardOptions) withDefaults() GuardOptions {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.InARow = cmp.Or(o.InARow, 10)
	o.Sample = cmp.Or(o.Sample, 20)
	o.Share = cmp.Or(o.Share, 0.5)
	o.Window = cmp.Or(o.Window, 10*time.Second)
	o.Open = cmp.Or(o.Open, 5*time.Second)
	o.Probes = cmp.Or(o.Probes, 3)
	return o
}

// Guard puts a circuit breaker and a time-out around a provider. While the
// provider is away every call is answered with *Unavailable at once: jobs wait without
// using up their tries, and the provider is not flooded when it comes back.
//
// *Declined and *Rejected are answers, and so a sign of health. A call that ended
// because our own side gave up on it (a node that stops) is no sign of anything.
// Every other error is a failure, a time-out included.
func Guard(p Provider, o GuardOptions) Provider {
	o = o.withDefaults()
	g := &guard{Provider: p, timeout: o.Timeout, probe: o.Open / 5}
	g.breaker = gobreaker.NewCircuitBreaker[string](gobreaker.Settings{
		Name:         p.Name(),
		MaxRequests:  o.Probes,
		Interval:     o.Window,
		BucketPeriod: o.Window / 10,
		Timeout:      o.Open,
		IsExcluded:   isCanceled,
		// The breaker has a count of its own, but forgets what is older than the window:
		// calls that time out one after the other would never add up.
		IsSuccessful: func(err error) bool {
			if answered(err) {
				g.inARow = 0
				return true
			}
			g.inARow++
			return false
		},
		ReadyToTrip: func(c gobreaker.Counts) bool {
			// Not c.Requests: those include the ones that still wait for an answer.
			answers := c.TotalSuccesses + c.TotalFailures
			return g.inARow >= o.InARow ||
				answers >= o.Sample && float64(c.TotalFailures) >= o.Share*float64(answers)
		},
		OnStateChange: func(name string, from, to gobreaker.State) {
			g.inARow = 0
			if to == gobreaker.StateOpen {
				g.reopens.Store(time.Now().Add(o.Open).UnixNano())
			}
			if o.OnChange != nil {
				o.OnChange(name, from.String(), to.String())
			}
		},
	})
	return g
}

// guard is a provider behind a breaker.
type guard struct {
	Provider
	breaker *gobreaker.CircuitBreaker[string]
	timeout time.Duration
	probe   time.Duration // when to ask again while others are trying
	reopens atomic.Int64  // in Unix nanoseconds; the breaker does not tell
	inARow  int           // failures; under the breaker's lock
}

func (g *guard) Authorize(ctx context.Context, a Authorization) (string, error) {
	return g.ask(ctx, func(ctx context.Context) (string, error) { return g.Provider.Authorize(ctx, a) })
}

func (g *guard) Capture(ctx context.Context, c Capture) error {
	_, err := g.ask(ctx, func(ctx context.Context) (string, error) { return "", g.Provider.Capture(ctx, c) })
	return err
}

func (g *guard) Void(ctx context.Context, v Void) error {
	_, err := g.ask(ctx, func(ctx context.Context) (string, error) { return "", g.Provider.Void(ctx, v) })
	return err
}

func (g *guard) Refund(ctx context.Context, r Refund) (string, error) {
	return g.ask(ctx, func(ctx context.Context) (string, error) { return g.Provider.Refund(ctx, r) })
}

func (g *guard) ask(ctx context.Context, call func(context.Context) (string, error)) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	asked := false
	reference, err := g.breaker.Execute(func() (string, error) {
		asked = true
		limited, cancel := context.WithTimeout(ctx, g.timeout)
		defer cancel()
		reference, err := call(limited)
		return reference, explain(ctx, limited, err)
	})
	if !asked {
		until := time.Until(time.Unix(0, g.reopens.Load()))
		return "", NewAway(max(until, g.probe), err)
	}
	return reference, err
}

// explain marks an error of a call that our own side gave up, and says of one that
// ran out of time that it did.
func explain(ctx, limited context.Context, err error) error {
	switch {
	case err == nil || answered(err):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return &givenUp{err}
	case limited.Err() != nil:
		return fmt.Errorf("no answer in time: %w", err)
	default:
		return err
	}
}

// answered tells whether the provider is there, whatever it says.
func answered(err error) bool {
	if err == nil {
		return true
	}
	_, declined := errors.AsType[*Declined](err)
	_, rejected := errors.AsType[*Rejected](err)
	return declined || rejected
}

// givenUp is the error of a call that nobody waits for any more.
type givenUp struct{ cause error }

func (e *givenUp) Error() string { return "given up: " + e.cause.Error() }
func (e *givenUp) Unwrap() error { return e.cause }

func isCanceled(err error) bool {
	_, ok := errors.AsType[*givenUp](err)
	return ok
}
