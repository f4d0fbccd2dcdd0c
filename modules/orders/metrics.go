package orders

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	placed   prometheus.Counter
	moved    *prometheus.CounterVec
	stalled  *prometheus.CounterVec
	dead     prometheus.Counter
	batchN   *prometheus.HistogramVec
	batchDur *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	with := promauto.With(reg)
	return metrics{
		placed: with.NewCounter(prometheus.CounterOpts{
			Name: "orderflow_orders_placed_total", Help: "Orders accepted and committed."}),
		moved: with.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_orders_moved_total", Help: "Committed moves, by the status they led to."}, []string{"status"}),
		stalled: with.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_orders_stalled_total", Help: "Orders found past their deadline, by cause."}, []string{"cause"}),
		dead: with.NewCounter(prometheus.CounterOpts{
			Name: "orderflow_dead_letters_total", Help: "Jobs that failed for good."}),
		batchN: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "orderflow_batch_items", Help: "Items gathered into one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10)}, []string{"batch"}),
		batchDur: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "orderflow_batch_seconds", Help: "Duration of a gathered transaction.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 13)}, []string{"batch"}),
	}
}

func (m metrics) batch(name string) func(int, time.Duration) {
	n, d := m.batchN.WithLabelValues(name), m.batchDur.WithLabelValues(name)
	return func(items int, took time.Duration) {
		n.Observe(float64(items))
		d.Observe(took.Seconds())
	}
}
