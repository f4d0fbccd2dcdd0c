// Package httpstep is a processing step that a service decides over HTTP. docs/steps.md is its
// contract.
//
// The rule for errors is the one of payment providers: a failure is an attempt of the order's
// job, because it may be this order that the service fails on, and such an order must not be
// retried for ever. While the service as a whole is unavailable, orders wait without counting
// attempts. It counts as unavailable while its circuit breaker is open, when no connection to it
// can be made, and when it says so itself (429, or 503 with Retry-After).
package httpstep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Timeout limits a request: from the look-up of the host to the end of the answer.
const Timeout = 5 * time.Second

// Options describe a step.
type Options struct {
	Name   string // of the step, see orders.Step
	URL    string // the operator chose it, so private addresses and http are allowed
	Secret signature.Secret
	// UserAgent names the sender; "Orderflow/dev" when empty.
	UserAgent string
	Tracers   trace.TracerProvider // nil: no traces
	// Breaker stands before the service; its Timeout is the constant's when it is zero.
	Breaker breaker.Options
	// Observe is called after each request: the outcome is a verdict or "error". It may be nil.
	Observe func(outcome string, took time.Duration)
}

type step struct {
	name    string
	sender  *sender
	breaker *breaker.Breaker[orders.Verdict]
	observe func(outcome string, took time.Duration)
}

// New makes the step. It connects to nothing before its first check.
func New(o Options) orders.Step {
	o.Breaker.Timeout = cmp.Or(o.Breaker.Timeout, Timeout)
	if o.Tracers == nil {
		o.Tracers = noop.NewTracerProvider()
	}
	if o.Observe == nil {
		o.Observe = func(string, time.Duration) {}
	}
	s := &step{name: o.Name, sender: newSender(o), observe: o.Observe}
	// A verdict is the only sign of a service that works. A service that answers everything with
	// 401 or an HTML page is misconfigured, and orders should wait until that is corrected.
	s.breaker = breaker.New[orders.Verdict](o.Name, func(error) bool { return false }, o.Breaker)
	return orders.Step{Name: o.Name, Check: s.check}
}

// check asks the service. Its errors name the step and the reason, and never contain the URL or
// anything that the service sent.
func (s *step) check(ctx context.Context, r orders.StepRequest) (orders.Verdict, error) {
	verdict, err := s.breaker.Do(ctx, func(ctx context.Context) (orders.Verdict, error) {
		began := time.Now()
		verdict, err := s.sender.post(ctx, r)
		outcome := string(verdict.Kind)
		if err != nil {
			outcome = "error"
		}
		s.observe(outcome, time.Since(began))
		return verdict, err
	})
	if open, ok := errors.AsType[*breaker.OpenError](err); ok {
		err = queue.Snooze(open.RetryAfter, fmt.Errorf("the service is unavailable: %w", open))
	}
	if err != nil {
		return orders.Verdict{}, fmt.Errorf("step %s: %w", s.name, err)
	}
	return verdict, nil
}
