package app

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/orderflow-dev/orderflow/config"
)

// F3: one trace leads from a request through its job.
func TestTraceGoesThroughTheJob(t *testing.T) {
	t.Parallel()
	var (
		mu    sync.Mutex
		spans = map[string][]string{} // trace id -> names
		seen  *watch
	)
	otlp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var batch tracepb.TracesData // the wire format of ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(raw, &batch)
		}
		if err != nil {
			t.Error(err)
		}
		seen.see("span", string(raw))
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range batch.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					id := hex.EncodeToString(s.TraceId)
					spans[id] = append(spans[id], s.Name)
				}
			}
		}
	}))
	t.Cleanup(otlp.Close)
	cfg := settings(t)
	cfg.TracesURL, seen = config.Secret(otlp.URL), watchOf(cfg.DatabaseURL.Reveal())
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 10)
	ann := s.user("ann")
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"

	id := ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`,
		"traceparent: 00-"+trace+"-00f067aa0ba902b7-01").text("id")
	ann.becomes(id, "PROCESSING")
	s.stop() // sends what is left

	mu.Lock()
	defer mu.Unlock()
	request, job := false, false
	for _, name := range spans[trace] {
		request = request || name == "POST /v1/orders"
		job = job || name == "job order_process"
	}
	if !request || !job {
		t.Errorf("the trace has %v", spans[trace])
	}
}
