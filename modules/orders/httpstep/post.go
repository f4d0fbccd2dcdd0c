package httpstep

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/internal/retryafter"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

const (
	maxAnswer = 64 << 10 // bytes of a body
	idleConns = 64       // kept for the next requests

	// Waits before an order is checked again while the service is unavailable. The upper limit
	// bounds the Retry-After of the service.
	usualWait = 5 * time.Second
	minWait   = time.Second
	maxWait   = 5 * time.Minute
)

// sender posts requests to the service of one step.
type sender struct {
	step, url, agent string
	secrets          []signature.Secret
	client           *http.Client
	tracer           trace.Tracer
}

func newSender(o Options) *sender {
	return &sender{
		step: o.Name, url: o.URL, agent: cmp.Or(o.UserAgent, "Orderflow/dev"), secrets: []signature.Secret{o.Secret},
		tracer: o.Tracers.Tracer("orderflow/steps"),
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxAnswer,
				MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns, IdleConnTimeout: 30 * time.Second,
			},
		},
	}
}

// message is the body of a request.
type message struct {
	Step  string       `json:"step"`
	Key   string       `json:"key"`
	Round int          `json:"round"`
	Order orders.Order `json:"order"`
}

func (s *sender) post(ctx context.Context, r orders.StepRequest) (orders.Verdict, error) {
	ctx, span := s.tracer.Start(ctx, "POST step", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("step.name", s.step), attribute.String("step.key", r.Key)))
	defer span.End()

	verdict, err := s.exchange(ctx, r)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return orders.Verdict{}, err
	}
	span.SetAttributes(attribute.String("step.verdict", string(verdict.Kind)))
	return verdict, nil
}

func (s *sender) exchange(ctx context.Context, r orders.StepRequest) (orders.Verdict, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	req, err := s.request(httptrace.WithClientTrace(ctx, trace), r)
	if err != nil {
		return orders.Verdict{}, err
	}
	res, err := s.client.Do(req)
	switch {
	case err != nil && connected.Load():
		return orders.Verdict{}, lost(ctx, err)
	case err != nil: // the service has not seen the order, which therefore is not the cause
		return orders.Verdict{}, queue.Snooze(usualWait, lost(ctx, err))
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1)) // also after an error status, so that the connection can be reused
	if res.StatusCode != http.StatusOK {
		return orders.Verdict{}, refused(res, time.Now())
	}
	switch {
	case err != nil:
		return orders.Verdict{}, lost(ctx, err)
	case len(raw) > maxAnswer:
		return orders.Verdict{}, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	case !isJSON(res.Header.Get("Content-Type")):
		return orders.Verdict{}, errors.New("the answer is not application/json")
	}
	return parse(raw)
}

// request is signed anew for each attempt, and has the same key in all of them (SPEC D9).
func (s *sender) request(ctx context.Context, r orders.StepRequest) (*http.Request, error) {
	r.Order.AllowedActions = nil // they depend on a reader
	body, err := canonical.Marshal(message{s.step, r.Key, r.Round, r.Order})
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the URL cannot be used") // the error quotes it
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", s.agent)
	req.Header.Set("Idempotency-Key", r.Key)                       // net/http then repeats a request on a new connection when a kept one has been closed
	signature.Sign(req.Header, s.secrets, r.Key, time.Now(), body) // a key has no dots
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	return req, nil
}

// lost describes an error of the network without its text, which quotes the URL and addresses.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("the request was cut off") // the breaker adds the reason
	}
	return errors.New("the service cannot be reached: " + fault.Reason(err))
}

// refused describes an answer with another status than 200. 204 is among them: the empty answer of
// a proxy must not let an order through.
func refused(res *http.Response, now time.Time) error {
	err := errors.New("the service answered with status " + strconv.Itoa(res.StatusCode))
	wait, asked := usualWait, false
	if after, ok := retryafter.Parse(res.Header.Get("Retry-After"), now); ok {
		wait, asked = min(max(after, minWait), maxWait), true
	}
	switch {
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return fmt.Errorf("%w: redirects are not followed", err)
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable && asked:
		return queue.Snooze(wait, err)
	}
	return err
}

func isJSON(contentType string) bool {
	kind, parameters, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/json" && strings.EqualFold(cmp.Or(parameters["charset"], "utf-8"), "utf-8")
}
