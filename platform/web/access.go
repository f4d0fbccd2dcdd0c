package web

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// unmatched is the route of requests that match no route. Their paths are chosen by clients and
// would create any number of metrics.
const unmatched = "unmatched"

// Access writes one log line, one metric and one span for each request. They contain the pattern of
// the route, because paths and queries may contain personal data. Place it inside RequestID and
// outside of every handler that may respond. The arguments reg and tracers may be nil. It converts
// errors to responses, so that it knows their status.
func Access(log *slog.Logger, reg prometheus.Registerer, tracers trace.TracerProvider) fiber.Handler {
	if tracers == nil {
		tracers = noop.NewTracerProvider()
	}
	a := &access{log: orDefault(log), durations: durations(reg), running: inFlight(reg), tracer: tracers.Tracer("github.com/orderflow-dev/orderflow/platform/web")}
	return a.handle
}

type access struct {
	log       *slog.Logger
	durations *prometheus.HistogramVec
	running   prometheus.Gauge
	tracer    trace.Tracer
}

func (a *access) handle(c *fiber.Ctx) error {
	start := time.Now()
	a.running.Inc()
	defer a.running.Dec()
	ctx, options := traced(c)
	ctx, span := a.tracer.Start(ctx, c.Method(), options...)
	c.SetUserContext(ctx)

	status, route := http.StatusInternalServerError, "" // kept if a handler panics
	defer func() { a.report(c, span, route, status, time.Since(start)) }()
	err := c.Next()
	route = patternOf(c, err)
	if err != nil {
		if err := c.App().ErrorHandler(c, err); err != nil {
			return err
		}
	}
	status = c.Response().StatusCode()
	return nil
}

func (a *access) report(c *fiber.Ctx, span trace.Span, route string, status int, took time.Duration) {
	if route == "" {
		route = patternOf(c, nil)
	}
	method := c.Method()
	a.durations.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())

	span.SetName(method + " " + route)
	span.SetAttributes(
		attribute.String("http.request.method", method),
		attribute.String("http.route", route),
		attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()

	ctx := c.UserContext()
	attrs := []slog.Attr{
		slog.String("method", method),
		slog.String("route", route),
		slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("request_id", RequestIDFrom(ctx)),
	}
	if id := clientRequestID(ctx); id != "" {
		attrs = append(attrs, slog.String("client_request_id", id))
	}
	if caller, ok := identity.FromContext(ctx); ok {
		attrs = append(attrs, slog.String("user_id", caller.UserID.String()))
		if caller.IsKey() {
			attrs = append(attrs, slog.String("key_id", caller.KeyID.String()))
		}
	}
	if span.SpanContext().IsValid() {
		attrs = append(attrs, slog.String("trace_id", span.SpanContext().TraceID().String()))
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "request", attrs...)
}

// patternOf returns Fiber's pattern when no route of the API was reached. It ignores the last
// middleware, which Fiber reports when it finds no route.
func patternOf(c *fiber.Ctx, err error) string {
	if pattern, ok := c.Locals(patternKey).(string); ok {
		return pattern
	}
	var fe *fiber.Error
	if errors.As(err, &fe) && (fe.Code == fiber.StatusNotFound || fe.Code == fiber.StatusMethodNotAllowed) {
		return unmatched
	}
	return c.Route().Path
}

func durations(reg prometheus.Registerer) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "http_request_duration_seconds",
		Help:    "Time from the first handler to the answer, by route.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "route", "status"})
	return registered(reg, h)
}

func inFlight(reg prometheus.Registerer) prometheus.Gauge {
	return registered(reg, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "http_requests_in_flight", Help: "Requests that a handler is working on. Sockets and streams count until they are open."}))
}

// registered registers a collector, or returns the one that is registered already.
func registered[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	var twice prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &twice) {
		if old, ok := twice.ExistingCollector.(C); ok {
			return old
		}
	}
	return c
}
