package web

import (
	"context"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const trustKey = "orderflow.trust-traces"

// TrustTraces makes Access continue the trace of the caller, with its decision whether it is
// sampled, and RequestID use the id of the caller. That is right behind a gateway that replaces the
// headers traceparent and X-Request-Id of its clients. Place it before both; without it, neither is
// trusted.
func TrustTraces(on bool) fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Locals(trustKey, on)
		return c.Next()
	}
}

func trustsTraces(c *fiber.Ctx) bool {
	on, _ := c.Locals(trustKey).(bool)
	return on
}

// traced returns the context and the options for the span of a request. The span begins a trace of
// its own and links that of the caller, who could otherwise hide a request from tracing or add it
// to the trace of somebody else (W3C Trace Context, section 7). Neither tracestate nor baggage is
// read: they are any text of the caller's and would go on to jobs and webhooks.
func traced(c *fiber.Ctx) (context.Context, []trace.SpanStartOption) {
	ctx, options := c.UserContext(), []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	sent := propagation.MapCarrier{"traceparent": c.Get("traceparent")}
	caller := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), sent))
	switch {
	case !caller.IsValid():
	case trustsTraces(c):
		ctx = trace.ContextWithRemoteSpanContext(ctx, caller)
	default:
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: caller}))
	}
	return ctx, options
}
