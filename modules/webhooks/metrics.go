package webhooks

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	attempts   *prometheus.CounterVec
	seconds    prometheus.Histogram
	disablings *prometheus.CounterVec
	pending    prometheus.Gauge
	overdue    prometheus.Gauge
	disabled   prometheus.Gauge
	repaired   prometheus.Counter
	backlogs   prometheus.Gauge
	backlog    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	with := promauto.With(reg)
	return metrics{
		attempts: with.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_webhook_tries_total", Help: "Attempts to deliver, by outcome."}, []string{"outcome"}),
		seconds: with.NewHistogram(prometheus.HistogramOpts{
			Name: "orderflow_webhook_try_seconds", Help: "How long receivers took.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 12)}),
		disablings: with.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_webhooks_disabled_total", Help: "Endpoints that were disabled because of their answers."}, []string{"reason"}),
		pending: with.NewGauge(prometheus.GaugeOpts{
			Name: "orderflow_webhook_deliveries_pending", Help: "Deliveries that a job will send, up to 100,000."}),
		overdue: with.NewGauge(prometheus.GaugeOpts{
			Name: "orderflow_webhook_overdue_seconds", Help: "For how long the oldest try has been due."}),
		disabled: with.NewGauge(prometheus.GaugeOpts{
			Name: "orderflow_webhooks_disabled", Help: "Endpoints that are disabled because of their answers."}),
		backlogs: with.NewGauge(prometheus.GaugeOpts{
			Name: "orderflow_webhook_backlogs", Help: "Endpoints with a backlog, because their owner has more deliveries than its share."}),
		backlog: with.NewGauge(prometheus.GaugeOpts{
			Name: "orderflow_webhook_backlog_seconds", Help: "Age of the oldest event at the position of an endpoint with a backlog."}),
		repaired: with.NewCounter(prometheus.CounterOpts{
			Name: "orderflow_webhook_deliveries_repaired_total", Help: "Deliveries whose job was lost, and that got a new one."}),
	}
}
