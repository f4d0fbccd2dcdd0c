// Package stripe_test runs the Stripe provider against stripe-mock, which refuses what is not in
// Stripe's description of its API. It is here so that stripe-mock is no dependency of the product.
package stripe_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"
)

const (
	testKey   = "sk_test_orderflow"
	stripeURL = "http://stripe.test"
)

// mock is stripe-mock, which refuses every request that is not in Stripe's own
// description of the API, with the two things that it lacks: an intent has a status,
// and a key has one answer.
type mock struct {
	stub *server.StubServer

	mu       sync.Mutex
	statuses map[string]string  // of intents
	answers  map[string]*stored // by idempotency key
	seen     []string           // such as "POST /v1/refunds KEY amount=250&payment_intent=ID"
}

type stored struct {
	request string
	status  int
	body    []byte
}

// 8 MB of description take seconds to read under the race detector: once is enough.
var loadStripeMock = sync.OnceValues(func() (*server.StubServer, error) {
	spec, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		return nil, err
	}
	fixtures, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		return nil, err
	}
	return server.NewStubServer(fixtures, spec, false, false)
})

func stripeMock(t *testing.T) *mock {
	t.Helper()
	stub, err := loadStripeMock()
	if err != nil {
		t.Fatal(err)
	}
	return &mock{stub: stub, statuses: map[string]string{}, answers: map[string]*stored{}}
}

func (m *mock) client() *http.Client { return &http.Client{Transport: m} }

// RoundTrip answers in place of the network.
func (m *mock) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	body := []byte{}
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	params, err := url.QueryUnescape(string(body))
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key, request := req.Header.Get("Idempotency-Key"), req.Method+" "+req.URL.Path
	m.seen = append(m.seen, strings.TrimSpace(intentID.ReplaceAllString(fmt.Sprintf("%s %s %s", request, key, params), "ID")))

	w := httptest.NewRecorder()
	before, repeated := m.answers[key]
	switch {
	case key == "":
		before = m.answer(req)
	case !repeated:
		before = m.answer(req)
		before.request = request + params
		m.answers[key] = before
	case before.request != request+params:
		before = &stored{status: http.StatusBadRequest, body: []byte(`{"error":{"type":"idempotency_error","message":"Not the same."}}`)}
	default:
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.WriteHeader(before.status)
	_, _ = w.Write(before.body)
	return w.Result(), nil
}

var intentID = regexp.MustCompile(`\bpi_\w+`)

// moves of an intent: from which statuses a call leads to which.
var moves = map[string]struct{ from, to string }{
	"confirm": {"requires_confirmation", "requires_capture"},
	"capture": {"requires_capture", "succeeded"},
	"cancel":  {"requires_confirmation requires_capture", "canceled"},
}

func (m *mock) answer(req *http.Request) *stored {
	parts := strings.Split(strings.TrimPrefix(req.URL.Path, "/v1/"), "/")
	if len(parts) == 3 {
		move := moves[parts[2]]
		if !strings.Contains(move.from, m.statuses[parts[1]]) {
			return &stored{
				status: http.StatusBadRequest,
				body:   []byte(`{"error":{"type":"invalid_request_error","code":"payment_intent_unexpected_state","message":"Unexpected state."}}`),
			}
		}
		m.statuses[parts[1]] = move.to
	}
	w := httptest.NewRecorder()
	m.stub.HandleRequest(w, req)
	if parts[0] != "payment_intents" || w.Code != http.StatusOK {
		return &stored{status: w.Code, body: w.Body.Bytes()}
	}
	var intent map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &intent); err != nil {
		return &stored{status: http.StatusInternalServerError, body: []byte(err.Error())}
	}
	id := fmt.Sprint(intent["id"])
	if len(parts) == 1 {
		m.statuses[id] = "requires_confirmation"
	}
	intent["status"] = m.statuses[id]
	body, _ := json.Marshal(intent)
	return &stored{status: http.StatusOK, body: body}
}
