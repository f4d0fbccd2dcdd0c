package payments

import (
	"context"
	"errors"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Guard adds a circuit breaker and a timeout to a provider. While the provider is unavailable,
// every call returns *Unavailable at once: jobs wait without using up their attempts, and the
// provider is not flooded when it is available again.
//
// *Declined and *Rejected are responses of an available provider. A call that this process
// canceled, such as a node that stops, counts as neither. Every other error is a failure,
// including a timeout.
func Guard(p Provider, o breaker.Options) Provider {
	return &guard{p, breaker.New[string](p.Name(), answered, o)}
}

// guard is a provider behind a breaker.
type guard struct {
	Provider
	breaker *breaker.Breaker[string]
}

func (g *guard) CheckAmount(m money.Money) string { return CheckAmount(g.Provider, m) }

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

// answered reports whether the provider responded, with any result.
func answered(err error) bool {
	_, declined := errors.AsType[*Declined](err)
	_, rejected := errors.AsType[*Rejected](err)
	return declined || rejected
}
