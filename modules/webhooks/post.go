package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/orderflow-dev/orderflow/internal/retryafter"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// The limits of one attempt. Their sum is below the timeout of a job.
const (
	tryWithin  = 15 * time.Second
	dialWithin = 5 * time.Second
	readAtMost = 64 << 10
	keepAnswer = 1 << 10
)

// sender posts messages to URLs that users chose: without proxy, redirects and cookies, and
// only to public or explicitly allowed addresses.
type sender struct {
	client    *http.Client
	addresses *addresses
	agent     string
	tracers   trace.TracerProvider
}

func newSender(a *addresses, version string, tracers trace.TracerProvider) *sender {
	dialer := &net.Dialer{Timeout: dialWithin, Control: a.control, Resolver: a.resolver}
	if version == "" {
		version = "dev"
	}
	return &sender{
		addresses: a, agent: "Orderflow/" + version, tracers: tracers,
		client: &http.Client{
			Timeout:       tryWithin,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext: dialer.DialContext, TLSHandshakeTimeout: dialWithin, ForceAttemptHTTP2: true,
				MaxResponseHeaderBytes: readAtMost, DisableCompression: true,
				MaxIdleConns: 200, MaxIdleConnsPerHost: 8, IdleConnTimeout: 30 * time.Second,
			},
		},
	}
}

// request is one signed message to an endpoint.
type request struct {
	url     string
	id      string
	secrets []signature.Secret
	body    []byte
}

// outcome is the result of one attempt.
type outcome struct {
	at         time.Time
	took       time.Duration
	status     int    // 0 if there was no response
	problem    string // empty if the endpoint accepted the message
	answer     string // the beginning of the response body
	retryAfter time.Duration
}

func (o outcome) accepted() bool { return o.problem == "" }

// post makes one attempt. Every error is part of the outcome.
func (s *sender) post(ctx context.Context, p request) outcome {
	ctx, span := s.tracers.Tracer("orderflow/webhooks").Start(ctx, "POST webhook", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()

	o := s.exchange(ctx, p, postgres.Now())
	o.took = time.Since(o.at)
	span.SetAttributes(attribute.String("webhook.id", p.id), attribute.Int("http.response.status_code", o.status))
	if !o.accepted() {
		span.SetStatus(codes.Error, "not taken")
	}
	return o
}

func (s *sender) exchange(ctx context.Context, p request, at time.Time) outcome {
	o := outcome{at: at}
	if _, wrong := s.addresses.parse(p.url); wrong != "" { // the rules may have changed since the URL was saved
		o.problem = "the URL " + wrong
		return o
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(p.body))
	if err != nil {
		o.problem = "the URL cannot be used"
		return o
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.agent)
	// This header is not sent. It allows net/http to retry when an idle connection was
	// closed, which may repeat the message with the same webhook-id.
	req.Header["Idempotency-Key"] = []string{}
	signature.Sign(req.Header, p.secrets, p.id, at, p.body)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))

	res, err := s.client.Do(req)
	if err != nil {
		o.problem = reason(err)
		return o
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(res.Body, readAtMost)) // only the status decides whether it was accepted
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		raw = nil // nothing in it is for the owner, and it may come from a service that the URL was not meant for
	}
	return o.answered(res, excerpt(raw))
}

// answered interprets the response.
func (o outcome) answered(res *http.Response, answer string) outcome {
	o.status, o.answer = res.StatusCode, answer
	switch {
	case o.status >= 200 && o.status < 300:
		return o
	case o.status >= 300 && o.status < 400:
		o.problem = "answered with a redirect, which is not followed"
	default:
		o.problem = "answered with status " + strconv.Itoa(o.status)
	}
	if o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable {
		o.retryAfter, _ = retryafter.Parse(res.Header.Get("Retry-After"), time.Now())
	}
	return o
}

// noResponse is the reason of all failures that depend on what is at an address. A refused
// connection, silence and an answer that is not HTTP read the same, so that webhooks are no means
// to look for services (CWE-918); bytes of an answer that is not HTTP are never shown.
const noResponse = "there was no HTTP response in time"

// reason describes why there was no response. The texts of Go's errors are not used, because
// they contain internal addresses such as those of the socket and the name server, or bytes of the
// answer. Errors of certificates are an exception: their owner needs them, and they are public.
func reason(err error) string {
	if errors.Is(err, errRefused) {
		return errRefused.Error()
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		if name.IsNotFound {
			return "the host has no address"
		}
		return "the host's address could not be looked up"
	}
	if cause, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return excerpt([]byte(cause.Error()))
	}
	if socket, ok := errors.AsType[*net.OpError](err); ok && socket.Op == "remote error" { // an alert of TLS
		return excerpt([]byte(socket.Err.Error()))
	}
	return noResponse
}

// excerpt returns the beginning as text that PostgreSQL can store.
func excerpt(raw []byte) string {
	raw = raw[:min(len(raw), keepAnswer)]
	return strings.ReplaceAll(strings.ToValidUTF8(string(raw), "\uFFFD"), "\x00", "\uFFFD")
}
