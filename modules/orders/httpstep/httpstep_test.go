package httpstep_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/httpstep"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

var secret = signature.NewSecret()

// received is a request as the service got it.
type received struct {
	header http.Header
	body   []byte
}

// service is a real server. Its answers can be exchanged while it runs.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	got    []received
}

func serve(t *testing.T, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.got = append(s.got, received{r.Header.Clone(), body})
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) becomes(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *service) requests() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const proceed = `{"verdict":"continue"}`

func (s *service) step(o httpstep.Options) orders.Step {
	o.Name, o.URL, o.Secret = "fraud", s.URL+"/check", secret
	return httpstep.New(o)
}

func request() orders.StepRequest {
	id := uuid.MustParse("01a20b09-04ea-7b9f-88b6-5ae120df95a1")
	return orders.StepRequest{Step: "fraud", Key: id.String() + ":2:fraud", Round: 2, Order: orders.Order{
		ID: id, Status: lifecycle.Pending, Given: orders.Given{Metadata: orders.Metadata(`{"b":1,"a":"ü"}`)}, Items: []orders.Line{{SKU: "KETTLE", Quantity: 3}}, AllowedActions: []string{"cancel"},
	}}
}

// verdictOf checks the request and fails if the step has an error.
func verdictOf(t *testing.T, s orders.Step) orders.Verdict {
	t.Helper()
	v, err := s.Check(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// failure returns the error of a check, and the wait if it is a snooze.
func failure(t *testing.T, s orders.Step) (wait time.Duration, err error) {
	t.Helper()
	v, err := s.Check(t.Context(), request())
	if err == nil || v != (orders.Verdict{}) {
		t.Fatalf("%+v, %v", v, err)
	}
	if !strings.HasPrefix(err.Error(), "step fraud: ") || queue.IsPermanent(err) {
		t.Errorf("the error is %v", err)
	}
	wait, _ = queue.IsSnooze(err)
	return wait, err
}

func TestEveryVerdict(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	var observed []string
	step := s.step(httpstep.Options{Observe: func(outcome string, took time.Duration) {
		if took <= 0 {
			t.Error("it took no time")
		}
		observed = append(observed, outcome)
	}})
	for body, want := range map[string]orders.Verdict{
		proceed: orders.Continue(),
		`{"verdict":"hold","reason":"Call back."}`:                             orders.Hold("Call back."),
		`{"verdict":"fail","code":"fraud-suspected","reason":"It is stolen."}`: orders.Fail("fraud-suspected", "It is stolen."),
	} {
		s.becomes(says(200, body, "Content-Type", "application/json; charset=UTF-8"))
		if got := verdictOf(t, step); got != want {
			t.Errorf("%s: %+v", body, got)
		}
	}
	slices.Sort(observed)
	if step.Name != "fraud" || !slices.Equal(observed, []string{"continue", "fail", "hold"}) {
		t.Errorf("%q, %q", step.Name, observed)
	}
}

// A receiver can verify and recognise the request with what it has; each attempt is signed anew,
// with the same key.
func TestRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, says(500, ""))
	var deadline time.Duration
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(onStart(func(ctx context.Context) {
		end, _ := ctx.Deadline()
		deadline = time.Until(end)
	})))
	step := s.step(httpstep.Options{UserAgent: "Orderflow/v1.2.3", Tracers: tracers})
	_, _ = failure(t, step)
	s.becomes(says(200, proceed))
	verdictOf(t, step)

	w, err := standardwebhooks.NewWebhook(secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	got := s.requests()
	if len(got) != 2 {
		t.Fatalf("%d requests", len(got))
	}
	r := request()
	r.Order.AllowedActions = nil
	order, err := canonical.Marshal(r.Order)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"step":"fraud","key":%q,"round":2,"order":%s}`, r.Key, order)
	for _, one := range got {
		if err := w.Verify(one.body, one.header); err != nil {
			t.Error(err)
		}
		if string(one.body) != want || strings.Contains(want, "allowedActions") {
			t.Errorf("the body is\n%s\nwant\n%s", one.body, want)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "User-Agent": "Orderflow/v1.2.3", "Idempotency-Key": r.Key, "Webhook-Id": r.Key,
		} {
			if got := one.header.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		if len(one.header.Get("Traceparent")) != 55 {
			t.Errorf("the trace is %q", one.header.Get("Traceparent"))
		}
	}
	if deadline <= 0 || deadline > httpstep.Timeout {
		t.Errorf("the request may take %v", deadline)
	}
}

// onStart is a span processor that sees the context of each span.
type onStart func(ctx context.Context)

func (f onStart) OnStart(ctx context.Context, _ sdktrace.ReadWriteSpan) { f(ctx) }
func (onStart) OnEnd(sdktrace.ReadOnlySpan)                             {}
func (onStart) Shutdown(context.Context) error                          { return nil }
func (onStart) ForceFlush(context.Context) error                        { return nil }

// What is not a verdict counts as an attempt, because it may be this order that the service fails
// on; the error names the status or the fault, and nothing that the service sent.
func TestOtherAnswersAreAttempts(t *testing.T) {
	t.Parallel()
	const leak = "hunter22"
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"204":                {says(204, ""), "status 204"},
		"another 2xx":        {says(202, proceed), "status 202"},
		"redirect":           {says(307, proceed, "Location", "/other"), "status 307: redirects are not followed"},
		"bad request":        {says(400, leak), "status 400"},
		"not found":          {says(404, proceed), "status 404"},
		"time-out at theirs": {says(408, ""), "status 408"},
		"too early":          {says(425, "", "Retry-After", "9"), "status 425"},
		"error":              {says(500, leak, "Retry-After", "9"), "status 500"},
		"unavailable":        {says(503, ""), "status 503"},
		"no verdict":         {says(200, `{"verdict":"`+leak+`"}`), "the verdict is neither"},
		"no JSON":            {says(200, leak), "not a JSON object"},
		"HTML":               {says(200, proceed, "Content-Type", "text/html"), "not application/json"},
		"no type":            {says(200, proceed, "Content-Type", ""), "not application/json"},
		"another charset":    {says(200, proceed, "Content-Type", "application/json; charset=latin1"), "not application/json"},
		"too long":           {says(200, proceed+strings.Repeat(" ", 64<<10)), "longer than 65536 bytes"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, proceed)
		}, "the connection was closed"},
		"hung up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the connection was closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, row.answer)
			var outcome string

			wait, err := failure(t, s.step(httpstep.Options{Observe: func(o string, _ time.Duration) { outcome = o }}))

			if wait != 0 || !strings.Contains(err.Error(), row.want) || outcome != "error" {
				t.Errorf("%v (%v, %s), want %q", err, wait, outcome, row.want)
			}
			if said := err.Error(); strings.Contains(said, leak) || strings.Contains(said, "127.0.0.1") {
				t.Errorf("it says %s", said)
			}
			for _, r := range s.requests() {
				if r.header.Get("Idempotency-Key") != request().Key {
					t.Error("the key is another one")
				}
			}
			if n := len(s.requests()); n != 1 && name != "hung up" {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// A service that says that it is busy is asked later, and no attempt counts.
func TestBusyServiceIsAskedLater(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	for _, row := range []struct {
		status     int
		retryAfter string
		atLeast    time.Duration
		atMost     time.Duration
	}{
		{429, "", 5 * time.Second, 5 * time.Second},
		{429, "soon", 5 * time.Second, 5 * time.Second},
		{429, "30", 30 * time.Second, 30 * time.Second},
		{503, "30", 30 * time.Second, 30 * time.Second},
		{503, "0", time.Second, time.Second},
		{503, "-5", time.Second, time.Second},
		{503, "86400", 5 * time.Minute, 5 * time.Minute},
		{503, soon, time.Second, 90 * time.Second},
	} {
		s := serve(t, says(row.status, "", "Retry-After", row.retryAfter))

		wait, err := failure(t, s.step(httpstep.Options{}))

		if wait < row.atLeast || wait > row.atMost || !strings.Contains(err.Error(), fmt.Sprint("status ", row.status)) {
			t.Errorf("%d, %q: %v, %v", row.status, row.retryAfter, wait, err)
		}
	}
}

// A service that cannot be connected to has not seen the order: no attempt counts.
func TestUnreachableServiceIsAskedLater(t *testing.T) {
	t.Parallel()
	plain := serve(t, says(200, proceed))
	secure := httptest.NewTLSServer(says(200, proceed))
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = nil
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, row := range map[string]struct{ url, want string }{
		"refused":               {"http://" + closed.Addr().String(), "connection refused"},
		"an unknown host":       {"http://fraud.invalid/check", "host name cannot be resolved"},
		"no TLS":                {strings.Replace(plain.URL, "http:", "https:", 1), "cannot be reached"},
		"a foreign certificate": {secure.URL, "certificate is not valid"},
	} {
		step := httpstep.New(httpstep.Options{Name: "fraud", URL: row.url, Secret: secret})

		wait, err := failure(t, step)

		if wait != 5*time.Second || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "invalid/") {
			t.Errorf("%s: %v, %v", name, wait, err)
		}
	}
}

// The time-out covers the whole exchange, the body included. It counts as an attempt.
func TestSlowService(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"no answer": "", "half an answer": `{"verdict":`} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if before != "" {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, before)
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		})

		wait, err := failure(t, s.step(httpstep.Options{Breaker: breaker.Options{Timeout: 200 * time.Millisecond}}))

		if wait != 0 || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("%s: %v, %v", name, wait, err)
		}
	}
}

// A node that stops gives up its request, which is no failure of the service.
func TestStoppingNodeGivesUp(t *testing.T) {
	t.Parallel()
	asked := make(chan bool, 1)
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- true
		<-r.Context().Done()
	})
	step := s.step(httpstep.Options{Breaker: breaker.Options{InARow: 1, Open: time.Hour}})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		<-asked
		stop()
	}()

	_, err := step.Check(ctx, request())

	if err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("%v", err)
	}
	s.becomes(says(200, proceed))
	verdictOf(t, step)
}

// While the breaker is open, the service is not asked and no attempt counts. A verdict closes it.
func TestBreakerOpensAndCloses(t *testing.T) {
	t.Parallel()
	s := serve(t, says(401, ""))
	var mu sync.Mutex
	var changes []string
	step := s.step(httpstep.Options{Breaker: breaker.Options{InARow: 3, Open: 50 * time.Millisecond, Probes: 1, OnChange: func(name, from, to string) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, name+" "+from+" "+to)
	}}})
	for range 3 {
		if wait, err := failure(t, step); wait != 0 {
			t.Errorf("%v, %v", wait, err)
		}
	}
	before := len(s.requests())
	s.becomes(says(200, `{"verdict":"hold","reason":"Call back."}`))

	testwait.Until(t, "the breaker to close", func() bool {
		v, err := step.Check(t.Context(), request())
		if err == nil {
			return v == orders.Hold("Call back.")
		}
		wait, ok := queue.IsSnooze(err)
		if !ok || wait <= 0 || !strings.Contains(err.Error(), "step fraud: the service is unavailable") {
			t.Errorf("%v, %v", wait, err)
		}
		if len(s.requests()) != before {
			t.Error("the service was asked")
		}
		return false
	})
	if want := []string{"fraud closed open", "fraud open half-open", "fraud half-open closed"}; !slices.Equal(changes, want) {
		t.Errorf("%q", changes)
	}
}

// An answer is read to its end, so that the next request uses the same connection.
func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	s := &service{answer: says(500, strings.Repeat("x", 60<<10))}
	var mu sync.Mutex
	peers := map[string]bool{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		peers[r.RemoteAddr] = true
		mu.Unlock()
		s.answer(w, r)
	}))
	t.Cleanup(s.Close)
	step := s.step(httpstep.Options{})

	for range 5 {
		_, _ = failure(t, step)
	}

	if len(peers) != 1 {
		t.Errorf("%d connections", len(peers))
	}
}

// An ended context sends no request.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	s := serve(t, says(200, proceed))
	ctx, stop := context.WithCancel(t.Context())
	stop()

	_, err := s.step(httpstep.Options{}).Check(ctx, request())

	if !errors.Is(err, context.Canceled) || len(s.requests()) != 0 {
		t.Errorf("%v, %d requests", err, len(s.requests()))
	}
}
