package auth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	passwords *prometheus.CounterVec
	reused    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	with := promauto.With(reg)
	return metrics{
		passwords: with.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_password_attempts_total",
			Help: "Attempts to prove a password or code: accepted, rejected as wrong, limited, or failed, by purpose (login or change)."}, []string{"purpose", "outcome"}),
		reused: with.NewCounter(prometheus.CounterOpts{
			Name: "orderflow_refresh_tokens_reused_total", Help: "Sessions that ended because a refresh token was presented again after its successor."}),
	}
}

func (m metrics) attempt(g guess, outcome string) {
	purpose := "login"
	if g.change {
		purpose = "change"
	}
	m.passwords.WithLabelValues(purpose, outcome).Inc()
}
