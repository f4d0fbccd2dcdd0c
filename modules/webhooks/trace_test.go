package webhooks

import (
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// SPEC F3: each try is a span, and the receiver can go on with its trace.
func TestTrace(t *testing.T) {
	t.Parallel()
	h := setup(t)
	spans := tracetest.NewSpanRecorder()
	n := h.idle(func(m *Module) {
		m.sender = newSender(m.addresses, "test", sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	})
	r := receive(t, func(received) reply { return reply{status: 500} })
	id, _ := n.hook(h.alice, r.URL, "")

	n.want(200, h.alice, "POST /v1/webhooks/"+id+"/test", "")

	header := strings.Split(r.next().header.Get("traceparent"), "-")
	ended := spans.Ended()
	if len(ended) != 1 || len(header) != 4 || header[1] != ended[0].SpanContext().TraceID().String() || header[2] != ended[0].SpanContext().SpanID().String() {
		t.Fatalf("%d spans, %v", len(ended), header)
	}
	if ended[0].Status().Description != "not taken" {
		t.Errorf("status %v", ended[0].Status())
	}
	for _, a := range ended[0].Attributes() {
		if strings.Contains(a.Value.String(), r.URL) {
			t.Errorf("%s holds the URL, which may hold a secret", a.Key)
		}
	}
}
