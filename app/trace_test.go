package app

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/orderflow-dev/orderflow/config"
)

// F3: one trace leads from a request through its job. It is the server's own, with a link to that
// of the caller, whose flag 00 does not hide the request and whose tracestate goes nowhere.
func TestTraceGoesThroughTheJob(t *testing.T) {
	t.Parallel()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for trusted, flag := range map[config.Switch]string{false: "00", true: "01"} {
		t.Run(fmt.Sprint("trusted ", trusted), func(t *testing.T) {
			t.Parallel()
			spans, links, jobs := tracesOf(t, trusted, "traceparent: 00-"+trace+"-00f067aa0ba902b7-"+flag, "tracestate: vendor=planted", "baggage: user=planted")

			id := trace
			if !trusted {
				id = links[trace]
			}
			if id == "" || (id == trace) != bool(trusted) || !slices.Contains(spans[id], "POST /v1/orders") || !slices.Contains(spans[id], "job order_process") {
				t.Errorf("the traces are %v, with links %v", spans, links)
			}
			if !strings.Contains(jobs, id) || strings.Contains(jobs, "planted") || strings.Contains(jobs, "tracestate") {
				t.Errorf("the metadata of the jobs is %s", jobs)
			}
		})
	}
}

// SPEC F3: without tracing, the headers of a caller are kept nowhere.
func TestForeignTraceWithoutTracing_F3(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 10)
	ann := s.user("ann")

	id := ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`,
		"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate: vendor=planted", "baggage: user=planted").text("id")
	ann.becomes(id, "PROCESSING")

	if got := jobsOf(t, cfg); strings.Contains(got, "4bf92f35") || strings.Contains(got, "planted") {
		t.Errorf("the metadata of the jobs is %s", got)
	}
}

// jobsOf returns the metadata of all jobs.
func jobsOf(t *testing.T, cfg config.Config) (all string) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(t.Context()) }()
	if err := db.QueryRow(t.Context(), `select string_agg(metadata::text, ' ') from river_job`).Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// tracesOf places an order with headers on a server that traces, and returns the names of the
// spans by trace, the trace that links another one, and the metadata of all jobs.
func tracesOf(t *testing.T, trusted config.Switch, headers ...string) (spans map[string][]string, links map[string]string, jobs string) {
	t.Helper()
	var (
		mu   sync.Mutex
		seen *watch
	)
	spans, links = map[string][]string{}, map[string]string{}
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
					for _, link := range s.Links {
						links[hex.EncodeToString(link.TraceId)] = id
					}
				}
			}
		}
	}))
	t.Cleanup(otlp.Close)
	cfg := settings(t)
	cfg.TrustedTraces = trusted
	cfg.TracesURL, seen = config.Secret(otlp.URL), watchOf(cfg.DatabaseURL.Reveal())
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 10)
	ann := s.user("ann")
	id := ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`, headers...).text("id")
	ann.becomes(id, "PROCESSING")
	jobs = jobsOf(t, cfg)
	s.stop() // sends what is left

	mu.Lock()
	defer mu.Unlock()
	return spans, links, jobs
}
