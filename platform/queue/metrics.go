package queue

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// The outcomes of an attempt of a job. A job that gave up stays as a discarded row.
const (
	completed = "completed"
	snoozed   = "snoozed"   // it continues later, without an error
	failed    = "failed"    // another attempt follows
	discarded = "discarded" // it gave up: the last attempt failed, or the job canceled itself
)

// Metrics is a middleware of River that counts and times the attempts of jobs of each kind.
type Metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	running  *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	with := promauto.With(reg)
	return &Metrics{
		attempts: with.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_job_attempts_total", Help: "Attempts of jobs on this node, by kind and outcome."}, []string{"kind", "outcome"}),
		seconds: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "orderflow_job_duration_seconds", Help: "Duration of attempts of jobs on this node, by kind.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}}, []string{"kind"}),
		running: with.NewGaugeVec(prometheus.GaugeOpts{
			Name: "orderflow_jobs_running", Help: "Jobs that run on this node, by kind."}, []string{"kind"}),
	}
}

// IsMiddleware implements rivertype.Middleware.
func (*Metrics) IsMiddleware() bool { return true }

// Work implements rivertype.WorkerMiddleware.
func (m *Metrics) Work(ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error) error {
	running, began := m.running.WithLabelValues(job.Kind), time.Now()
	running.Inc()
	outcome := discarded // of a panic in the last attempt; River counts a panic as an error
	defer func() {
		running.Dec()
		m.seconds.WithLabelValues(job.Kind).Observe(time.Since(began).Seconds())
		m.attempts.WithLabelValues(job.Kind, outcome).Inc()
	}()
	if job.Attempt < job.MaxAttempts {
		outcome = failed
	}
	err := inner(ctx)
	outcome = outcomeOf(err, job)
	return err
}

func outcomeOf(err error, job *rivertype.JobRow) string {
	var (
		later *river.JobSnoozeError
		never *rivertype.JobCancelError
	)
	switch {
	case err == nil:
		return completed
	case errors.As(err, &later):
		return snoozed
	case errors.As(err, &never) || job.Attempt >= job.MaxAttempts:
		return discarded
	}
	return failed
}
