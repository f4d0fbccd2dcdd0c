package otlp

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func spans() []*tracepb.ResourceSpans {
	return []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "place"}}}}}}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// F3: a batch arrives with its headers, compressed when that is asked for.
func TestUpload(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"": "", "gzip": "gzip"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got tracepb.TracesData
			var header http.Header
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				header = r.Header
				body := io.Reader(r.Body)
				if want == "gzip" {
					body, _ = gzip.NewReader(r.Body)
				}
				raw, err := io.ReadAll(body)
				if err = errors.Join(err, proto.Unmarshal(raw, &got)); err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(server.Close)
			c, err := New(server.URL+"/v1/traces", env(
				"OTEL_EXPORTER_OTLP_COMPRESSION", name,
				"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc, tenant = one",
				"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "60000"))
			if err != nil {
				t.Fatal(err)
			}

			err = c.UploadTraces(t.Context(), spans())

			if err != nil || len(got.ResourceSpans) != 1 || got.ResourceSpans[0].ScopeSpans[0].Spans[0].Name != "place" {
				t.Fatalf("%v, %v", err, &got)
			}
			if header.Get("Content-Encoding") != want || header.Get("Authorization") != "Basic abc" || header.Get("Tenant") != "one" || header.Get("Content-Type") != "application/x-protobuf" {
				t.Errorf("%v", header)
			}
		})
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// F3: what may pass is tried again, later each time and not before Retry-After; a refusal is not.
func TestRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		answers := []int{503, 0, 429, 200}
		c, err := New("http://collector.invalid/v1/traces", env())
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = transport(func(*http.Request) (*http.Response, error) {
			status := answers[len(at)]
			at = append(at, time.Since(begun))
			if status == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}, Body: http.NoBody}, nil
		})

		if err := c.UploadTraces(t.Context(), spans()); err != nil {
			t.Error(err)
		}

		want := []time.Duration{0, 7 * time.Second, 17 * time.Second, 37 * time.Second}
		for i, w := range want {
			if i >= len(at) || at[i] != w {
				t.Fatalf("attempts at %v, want %v", at, want)
			}
		}

		at, answers = nil, []int{400}
		if err := c.UploadTraces(t.Context(), spans()); err == nil || len(at) != 1 {
			t.Errorf("a refusal: %v after %d attempts", err, len(at))
		}

		at, answers = nil, []int{503, 503, 503, 503, 503, 503, 503, 503, 503}
		if err := c.UploadTraces(t.Context(), spans()); err == nil || len(at) > 5 {
			t.Errorf("a collector that is away: %v after %d attempts", err, len(at))
		}
	})
}

// F2: a variable that cannot be used is named, its value is not.
func TestBadVariables(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_TIMEOUT": "soon", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "brotli",
		"OTEL_EXPORTER_OTLP_HEADERS": "token: topsecret", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem",
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/nowhere.pem",
	} {
		if _, err := New("http://localhost", env(name, value)); err == nil || !strings.HasPrefix(err.Error(), name) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
