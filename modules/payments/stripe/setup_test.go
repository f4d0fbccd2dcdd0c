package stripe_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/stripe"
	"github.com/orderflow-dev/orderflow/platform/money"
)

const (
	secretKey    = "sk_test_51Orderflow"
	clientSecret = "pi_1_secret_abc"
)

// reply is one answer of Stripe's, to a request that begins so.
type reply struct {
	to       string // "POST /v1/payment_intents/pi_1/confirm A:confirm"
	status   int
	body     string
	replayed bool
}

// script is a fake Stripe that sends the given responses in order.
type script struct {
	*stripe.Provider
	mu      sync.Mutex
	replies []reply
	seen    []string
}

func says(t *testing.T, replies ...reply) *script {
	t.Helper()
	s := &script{replies: replies}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.Close()
		if len(s.replies) > 0 {
			t.Errorf("never asked: %s; was asked:\n%s", s.replies[0].to, strings.Join(s.seen, "\n"))
		}
	})
	s.Provider = stripe.New(stripe.Options{SecretKey: secretKey, APIURL: server.URL})
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	params, _ := url.QueryUnescape(string(body))
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Idempotency-Key"), params)
	s.seen = append(s.seen, asked)
	if len(s.replies) == 0 || !strings.HasPrefix(asked, s.replies[0].to+" ") {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","code":"unscripted","message":"` + asked + `"}}`))
		return
	}
	answer := s.replies[0]
	s.replies = s.replies[1:]
	w.Header().Set("Request-Id", "req_1")
	if answer.replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write([]byte(answer.body))
}

// The requests of the tests, and Stripe's answers as they look.
const (
	create  = "POST /v1/payment_intents A:create"
	confirm = "POST /v1/payment_intents/pi_1/confirm A:confirm"
	capture = "POST /v1/payment_intents/pi_1/capture C"
	cancel  = "POST /v1/payment_intents/pi_1/cancel V"
	look    = "GET /v1/payment_intents/pi_1"
	refund  = "POST /v1/refunds R"
	list    = "GET /v1/refunds"
)

func intent(status string) string {
	return `{"id":"pi_1","object":"payment_intent","amount":1250,"amount_received":1250,"client_secret":"` + clientSecret + `","status":"` + status + `"}`
}

func fails(kind, code, rest string) string {
	return `{"error":{"type":"` + kind + `","code":"` + code + `","message":"What Stripe says.","payment_intent":` + intent("requires_payment_method") + rest + `}}`
}

var (
	created    = reply{to: create, status: 200, body: intent("requires_confirmation")}
	unexpected = fails("invalid_request_error", "payment_intent_unexpected_state", "")
	broken     = fails("api_error", "", "")

	euros     = money.Money{Amount: 1250, Currency: "EUR"}
	attempt   = payments.Authorization{Key: "A", Amount: euros, Method: "pm_card_visa"}
	taking    = payments.Capture{Key: "C", Reference: "pi_1", Amount: euros}
	returning = payments.Refund{Key: "R", Reference: "pi_1", Amount: euros}
)

// outcome is an error in one word.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := errors.AsType[*payments.Declined](err); ok {
		return "declined " + e.Code
	}
	if e, ok := errors.AsType[*payments.Rejected](err); ok {
		return "rejected " + e.Code
	}
	return "retry"
}

func expect(t *testing.T, err error, want string) {
	t.Helper()
	if got := outcome(err); got != want {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
	if err != nil && (strings.Contains(err.Error(), secretKey) || strings.Contains(err.Error(), "_secret_")) {
		t.Errorf("a secret is in %q", err)
	}
}
