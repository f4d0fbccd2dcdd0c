package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/otlp"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// tracing sends spans to OTEL_EXPORTER_OTLP_ENDPOINT; where that is not set, it
// costs nothing. The client reads its other settings from the standard variables.
func tracing(ctx context.Context, cfg *config.Config) (trace.TracerProvider, func(), error) {
	otel.SetTextMapPropagator(propagation.TraceContext{})
	if cfg.TracesURL == "" {
		return noop.NewTracerProvider(), func() {}, nil
	}

	// The exporter's errors quote its URL; the library's own handler would print them.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		slog.WarnContext(ctx, "tracing failed", "error", fault.Reason(err))
	}))
	client, err := otlp.New(strings.TrimRight(cfg.TracesURL.Reveal(), "/")+"/v1/traces", os.Getenv)
	if err != nil {
		return nil, nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %s", fault.Reason(err))
	}
	about, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithHost())
	if err != nil {
		return nil, nil, fmt.Errorf("describe this process to the tracer: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = provider.Shutdown(ctx)
	}, nil
}

// observe registers the metrics of the process and its connections.
func (n *node) observe() {
	n.observeDatabase()
	n.observeEvents()
	n.redis.Instrument(n.registry)
	n.counter("orderflow_limiter_local_decisions_total", "Decisions that this node took without Redis.",
		func() float64 { return float64(n.limiter.Stats().Local) })
	n.gauge("orderflow_limiter_degraded", "1 while limits are counted on this node alone.",
		func() float64 { return one(n.limiter.Degraded()) })
	n.gauge("orderflow_ready", "1 while this node is ready for requests, as at /readyz.", func() float64 { return one(n.health.isReady()) })
	n.gauge("orderflow_migrations_pending", "1 while the database lacks migrations of this version.", func() float64 { return one(n.health.lacksMigrations()) })
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "orderflow_build_info", Help: "The version of this process."}, []string{"version", "goversion", "roles"})
	build.WithLabelValues(versionOf(), runtime.Version(), strings.Join(n.cfg.Roles, ",")).Set(1)
	n.registry.MustRegister(build)
	if n.worker != nil {
		n.registry.MustRegister(n.cluster)
	}
}

func (n *node) observeDatabase() {
	n.gauge("orderflow_db_connections_used", "Database connections in use.", func() float64 { return float64(n.pool.Stat().AcquiredConns()) })
	n.gauge("orderflow_db_connections_max", "Database connections that this node may open.", func() float64 { return float64(n.pool.Stat().MaxConns()) })
	n.counter("orderflow_db_acquire_waits_total", "How often a goroutine had to wait for a connection.",
		func() float64 { return float64(n.pool.Stat().EmptyAcquireCount()) })
	n.counter("orderflow_db_acquire_wait_seconds_total", "How long goroutines waited for connections.",
		func() float64 { return n.pool.Stat().EmptyAcquireWaitTime().Seconds() })
	n.counter("orderflow_db_retries_total", "Transactions that were repeated after a serialization failure or a deadlock.",
		func() float64 { return float64(n.pool.Retries()) })
	n.gauge("orderflow_db_clock_skew_seconds", "By how much the clock of the database is ahead of that of this node.",
		func() float64 { return n.clock.skew().Seconds() })
}

func (n *node) observeEvents() {
	n.gauge("orderflow_events_lag_seconds", "Age of the oldest event that this node has not passed to its sockets, streams and polls, also while a transaction holds it back.",
		func() float64 { return n.tail.Lag().Seconds() })
	delivered := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "orderflow_events_delivery_seconds", Help: "Age of the oldest event of a page when this node passed the page to its sockets, streams and polls.",
		Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}})
	n.registry.MustRegister(delivered)
	n.tail.OnDelivered = func(age time.Duration) { delivered.Observe(age.Seconds()) }
	n.counter("orderflow_events_rewritten_total",
		"How often this node found the event log replaced by one that lacks what it had delivered: a restore, or a failover that lost something.",
		func() float64 { return float64(n.tail.Rewrites()) })
}

func (n *node) gauge(name, help string, read func() float64) {
	n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

func (n *node) counter(name, help string, read func() float64) {
	n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
