// Package otlp sends spans to an OpenTelemetry collector as protobuf over HTTP.
//
// It takes the place of otlptracehttp, which links gRPC, its HTTP gateway and their descriptors for
// what is one POST (ADR 20). It obeys the standard variables: OTEL_EXPORTER_OTLP_HEADERS, TIMEOUT,
// COMPRESSION, CERTIFICATE, CLIENT_CERTIFICATE and CLIENT_KEY, each also as
// OTEL_EXPORTER_OTLP_TRACES_..., which comes first.
package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/orderflow-dev/orderflow/internal/retryafter"
)

// Delays between attempts double from first to most, and a batch is given up after patience: the
// defaults of OpenTelemetry's own exporters.
const (
	first    = 5 * time.Second
	most     = 30 * time.Second
	patience = time.Minute
)

// Client implements otlptrace.Client. It retries what the protocol says may be retried: no
// response, and the status codes 429, 502, 503 and 504.
type Client struct {
	url      string
	settings settings
	http     *http.Client
	first    time.Duration

	stop    chan struct{}
	stopped sync.Once
}

var _ otlptrace.Client = (*Client)(nil)

// New returns a client that posts to url, the complete address. getenv reads the variables, as
// os.Getenv does; an error names the variable that cannot be used and not its value.
func New(url string, getenv func(string) string) (*Client, error) {
	s, err := read(getenv)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented
	transport.TLSClientConfig = s.tls
	c := &http.Client{Timeout: s.timeout, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Client{url: url, settings: s, http: c, first: first, stop: make(chan struct{})}, nil
}

// Start implements otlptrace.Client; there is nothing to connect before the first batch.
func (c *Client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client. It ends the wait for a further attempt.
func (c *Client) Stop(context.Context) error {
	c.stopped.Do(func() { close(c.stop) })
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. It returns when the collector has accepted the batch,
// or has refused it, or after a minute of attempts.
func (c *Client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := c.encode(spans)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for delay := c.first; ; delay = min(2*delay, most) {
		after, err := c.post(ctx, body)
		if after < 0 {
			return err
		}
		timer := time.NewTimer(max(after, delay))
		select {
		case <-timer.C:
		case <-c.stop:
			timer.Stop()
			return err
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// encode writes TracesData, which has the wire format of ExportTraceServiceRequest. The package of
// the latter imports gRPC.
func (c *Client) encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil || !c.settings.gzip {
		return body, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// final is the delay that post returns when there must not be another attempt.
const final time.Duration = -1

// post makes one attempt. It returns the least delay before the next one, or final.
func (c *Client) post(ctx context.Context, body []byte) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return final, err
	}
	for name, value := range c.settings.headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.settings.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
	switch res.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return final, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		wait, _ := retryafter.Parse(res.Header.Get("Retry-After"), time.Now())
		return wait, refused(res)
	default:
		return final, refused(res)
	}
}

func refused(res *http.Response) error {
	return fmt.Errorf("the collector refused spans with status %d", res.StatusCode)
}
