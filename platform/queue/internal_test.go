package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
	"pgregory.net/rapid"
)

// SPEC D4: 1, 2, 4 ... 64 s, each up to a quarter more or less.
func TestBackoff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		failed := rapid.IntRange(0, 1000).Draw(r, "errors")
		job := &rivertype.JobRow{Errors: make([]rivertype.AttemptError, failed)}

		before := time.Now()
		wait := backoff{}.NextRetry(job).Sub(before)
		after := time.Since(before)

		middle := time.Second << min(failed, MaxAttempts-2)
		if wait < middle*3/4 || wait > middle*5/4+after {
			r.Fatalf("after %d errors: %v, want about %v", failed, wait, middle)
		}
	})
}

func TestALostJobIsNoLongerRunning(t *testing.T) {
	t.Parallel()
	if RescueAfter < 2*JobTimeout || RescueAfter > 2*time.Minute {
		t.Errorf("a job of at most %v counts as lost after %v", JobTimeout, RescueAfter)
	}
}

// recorder notes the parent and the status of one span.
type recorder struct {
	embedded.Tracer
	parent trace.SpanContext
	span   *span
}

type span struct {
	trace.Span
	status codes.Code
	ended  bool
}

func (s *span) SetStatus(c codes.Code, _ string) { s.status = c }
func (s *span) End(...trace.SpanEndOption)       { s.ended = true }

// provider returns the same tracer to all callers.
type provider struct {
	embedded.TracerProvider
	one *recorder
}

func (p provider) Tracer(string, ...trace.TracerOption) trace.Tracer { return p.one }

func (r *recorder) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	r.parent = trace.SpanContextFromContext(ctx)
	r.span = &span{Span: noop.Span{}}
	return trace.ContextWithSpan(ctx, r.span), r.span
}

// SPEC F3: a job goes on with the trace of its request.
func TestTracing(t *testing.T) {
	t.Parallel()
	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	good := `"traceparent":"00-` + id + `-` + parent + `-01"`
	oh := errors.New("oh")
	for _, row := range []struct {
		metadata string
		err      error
		remote   bool
		status   codes.Code
	}{
		{metadata: `{` + good + `}`, remote: true},
		{metadata: `{` + good + `,"tracestate":"a=b","snoozes":3,"x":{"y":[1]}}`, remote: true},
		{metadata: `{` + good + `,"tracestate":7}`, remote: true},
		{metadata: `{"traceparent":["00"]}`},
		{metadata: `{"traceparent":"garbage"}`},
		{metadata: `{"traceparent":"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}`},
		{metadata: `{`},
		{metadata: `null`},
		{metadata: `[]`},
		{metadata: ``},
		{metadata: `{}`, err: oh, status: codes.Error},
		{metadata: `{}`, err: river.JobSnooze(0)}, // to come back later is no failure
	} {
		r := &recorder{}
		err := Tracing{provider{one: r}}.Work(t.Context(), &rivertype.JobRow{Kind: "test", Metadata: []byte(row.metadata)}, func(ctx context.Context) error {
			if trace.SpanFromContext(ctx) != trace.Span(r.span) {
				t.Errorf("%s: the job does not see its span", row.metadata)
			}
			return row.err
		})

		if !errors.Is(err, row.err) || !r.span.ended || r.span.status != row.status {
			t.Errorf("%s: %v, ended %v, %v", row.metadata, err, r.span.ended, r.span.status)
		}
		if r.parent.IsRemote() != row.remote || r.parent.TraceState().Len() > 0 {
			t.Errorf("%s: parent %v", row.metadata, r.parent)
		}
		if row.remote && (r.parent.TraceID().String() != id || r.parent.SpanID().String() != parent || !r.parent.IsSampled()) {
			t.Errorf("%s: parent %v", row.metadata, r.parent)
		}
	}

	r := &recorder{}
	func() {
		defer func() { _ = recover() }()
		_ = Tracing{provider{one: r}}.Work(t.Context(), &rivertype.JobRow{}, func(context.Context) error { panic("oh") })
	}()
	if !r.span.ended {
		t.Error("a panic leaves the span open")
	}
}
