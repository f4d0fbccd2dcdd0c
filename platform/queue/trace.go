package queue

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Tracing is a middleware of River that continues the trace of the request that inserted the job.
// The metadata of the job holds the traceparent of W3C Trace Context (SPEC F3).
type Tracing struct{ Tracers trace.TracerProvider }

// IsMiddleware implements rivertype.Middleware.
func (Tracing) IsMiddleware() bool { return true }

// Work implements rivertype.WorkerMiddleware.
func (t Tracing) Work(ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error) error {
	// The metadata has other members too, and not all of them are strings.
	var members map[string]json.RawMessage
	if json.Unmarshal(job.Metadata, &members) == nil {
		var parent string
		if json.Unmarshal(members["traceparent"], &parent) == nil {
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
		}
	}

	ctx, span := t.Tracers.Tracer("orderflow/queue").Start(ctx, "job "+job.Kind,
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.Int64("job.id", job.ID), attribute.Int("job.attempt", job.Attempt)))
	defer span.End()

	err := inner(ctx)
	var later *river.JobSnoozeError
	if err != nil && !errors.As(err, &later) {
		span.SetStatus(codes.Error, "failed")
	}
	return err
}
