package app

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/modules/payments/stripe"
)

// provider is whoever moves the money, behind a breaker.
func provider(cfg *config.Config, log *slog.Logger, registry prometheus.Registerer) payments.Provider {
	state := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "orderflow_payment_breaker_open", Help: "1 while the payment provider is not asked because it does not answer."}, []string{"provider"})
	registry.MustRegister(state)
	p := plain(cfg)
	state.WithLabelValues(p.Name()).Set(0)
	return payments.Guard(p, payments.GuardOptions{OnChange: func(name, from, to string) {
		open := 0.0
		if to == "open" {
			open = 1
		}
		state.WithLabelValues(name).Set(open)
		log.LogAttrs(context.Background(), slog.LevelWarn, "payment provider", slog.String("provider", name), slog.String("was", from), slog.String("is", to))
	}})
}

func plain(cfg *config.Config) payments.Provider {
	switch {
	case cfg.PaymentProvider == "stripe":
		return stripe.New(stripe.Options{SecretKey: cfg.StripeSecretKey.Reveal(), APIURL: cfg.StripeAPIURL.Reveal()})
	case cfg.SimulatorURL != "":
		return simulated.Dial(cfg.SimulatorURL.Reveal())
	default:
		return simulated.NewBank(simulated.Options{})
	}
}
