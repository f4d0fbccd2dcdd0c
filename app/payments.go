package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/modules/payments/stripe"
)

// provider is the one that PAYMENT_PROVIDER selects, behind a circuit breaker.
func (n *node) provider(p *Platform) (payments.Provider, error) {
	chosen, err := n.choose(p)
	if err != nil {
		return nil, err
	}
	state := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "orderflow_payment_breaker_open", Help: "1 while the payment provider is not asked because it does not answer."}, []string{"provider"})
	n.registry.MustRegister(state)
	state.WithLabelValues(chosen.Name()).Set(0)
	return payments.Guard(chosen, breaker.Options{OnCallerChange: func(name, from, to string) {
		n.log.LogAttrs(context.Background(), slog.LevelWarn, "payment provider for one account", slog.String("provider", name), slog.String("was", from), slog.String("is", to))
	}, OnChange: func(name, from, to string) {
		open := 0.0
		if to == "open" {
			open = 1
		}
		state.WithLabelValues(name).Set(open)
		n.log.LogAttrs(context.Background(), slog.LevelWarn, "payment provider", slog.String("provider", name), slog.String("was", from), slog.String("is", to))
	}}), nil
}

// ownProviders are the product's.
func ownProviders(cfg *config.Config) []namedProvider {
	return []namedProvider{
		{"simulated", func(*Platform) (payments.Provider, error) {
			if cfg.SimulatorURL != "" {
				return simulated.Dial(cfg.SimulatorURL.Reveal()), nil
			}
			return simulated.NewBank(simulated.Options{NoTestTokens: !cfg.AcceptsTestTokens()}), nil
		}},
		{"stripe", func(*Platform) (payments.Provider, error) {
			return stripe.New(stripe.Options{SecretKey: cfg.StripeSecretKey.Reveal(), APIURL: cfg.StripeAPIURL.Reveal()}), nil
		}},
	}
}

// choose constructs the provider of the settings. An unknown name has been refused by
// config before, with the names that there are.
func (n *node) choose(p *Platform) (payments.Provider, error) {
	name := n.cfg.PaymentProvider
	for _, candidate := range append(ownProviders(n.cfg), n.added.providers...) {
		if candidate.name != name || candidate.make == nil {
			continue
		}
		chosen, err := candidate.make(p)
		switch {
		case err != nil:
			return nil, fmt.Errorf("payment provider %s: %w", name, err)
		case chosen == nil:
			return nil, fmt.Errorf("payment provider %s: the constructor returned nil", name)
		case chosen.Name() != name:
			return nil, fmt.Errorf("payment provider %s: it calls itself %q; payments keep the name, so both must be the same", name, chosen.Name())
		}
		return chosen, nil
	}
	return nil, fmt.Errorf("there is no payment provider %q", name)
}
