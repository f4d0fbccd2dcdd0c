package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
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
	gauge := func(name, help string, read func() float64) {
		n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	gauge("orderflow_db_connections_used", "Database connections in use.",
		func() float64 { return float64(n.pool.Stat().AcquiredConns()) })
	gauge("orderflow_db_connections_max", "Database connections that this node may open.",
		func() float64 { return float64(n.pool.Stat().MaxConns()) })
	gauge("orderflow_db_acquire_waits", "How often a goroutine had to wait for a connection.",
		func() float64 { return float64(n.pool.Stat().EmptyAcquireCount()) })
	gauge("orderflow_events_lag_seconds", "Age of the last event when this node delivered it.",
		func() float64 { return n.tail.Lag().Seconds() })
	n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "orderflow_events_rewritten_total",
		Help: "How often this node found the event log replaced by one that lacks what it had delivered: a restore, or a failover that lost something.",
	}, func() float64 { return float64(n.tail.Rewrites()) }))
	gauge("orderflow_limiter_local_decisions", "Decisions that this node took without Redis.",
		func() float64 { return float64(n.limiter.Stats().Local) })
	gauge("orderflow_limiter_degraded", "1 while limits are counted on this node alone.",
		func() float64 {
			if n.limiter.Degraded() {
				return 1
			}
			return 0
		})
}
