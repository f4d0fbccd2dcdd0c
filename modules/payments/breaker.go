package payments

import (
	"context"
	"errors"

	"github.com/orderflow-dev/orderflow/platform/breaker"
)

// Guard puts a circuit breaker and a time-out around a provider. While the
// provider is away every call is answered with *Unavailable at once: jobs wait without
// using up their tries, and the provider is not flooded when it comes back.
//
// *Declined and *Rejected are answers, and so a sign of health. A call that ended
// because our own side gave up on it (a node that stops) is no sign of anything.
// Every other error is a failure, a time-out included.
func Guard(p Provider, o breaker.Options) Provider {
	return &guard{p, breaker.New[string](p.Name(), answered, o)}
}

// guard is a provider behind a breaker.
type guard struct {
	Provider
	breaker *breaker.Breaker[string]
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
	reference, err := g.breaker.Do(ctx, call)
	if open, ok := errors.AsType[*breaker.OpenError](err); ok {
		return "", NewAway(open.RetryAfter, open)
	}
	return reference, err
}

// answered tells whether the provider is there, whatever it says.
func answered(err error) bool {
	_, declined := errors.AsType[*Declined](err)
	_, rejected := errors.AsType[*Rejected](err)
	return declined || rejected
}
