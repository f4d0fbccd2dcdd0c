package simulated_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
)

// serve runs a bank behind HTTP until the test ends.
func serve(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// What the bank answers arrives as it was said.
func TestErrorsCrossTheWire(t *testing.T) {
	t.Parallel()
	var err error
	bank := simulated.NewBank(simulated.Options{Script: func(string, string, int) error { return err }})
	p := simulated.Dial(serve(t, simulated.Handler(bank)))

	for want, e := range map[string]error{
		"declined lost-card": &payments.Declined{Code: "lost-card", Detail: "Lost."},
		"rejected nonsense":  &payments.Rejected{Code: "nonsense", Detail: "No."},
		"away":               payments.NewAway(1500*time.Millisecond, nil),
		"retry":              errors.New("a storm"),
	} {
		err = e

		_, got := p.Authorize(t.Context(), paying(1, ""))

		expect(t, want, got, want)
		if away, ok := errors.AsType[*payments.Unavailable](got); ok && away.RetryAfter != 1500*time.Millisecond {
			t.Errorf("wait %v", away.RetryAfter)
		} else if !ok && got.Error() != e.Error() {
			t.Errorf("%v, want %v", got, e)
		}
	}
}

func TestJournalOverHTTP(t *testing.T) {
	t.Parallel()
	url := serve(t, simulated.Handler(simulated.NewBank(simulated.Options{Remember: true})))
	p, a := simulated.Dial(url+"/"), paying(1250, "")
	reference := held(t, p, a)
	expect(t, "void", p.Void(t.Context(), payments.Void{Key: "v", Reference: reference, Of: a}), "ok")

	resp, err := http.Get(url + "/journal") //nolint:forbidigo // of this process
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var effects []simulated.Effect
	if err := json.NewDecoder(resp.Body).Decode(&effects); err != nil {
		t.Fatal(err)
	}

	if len(effects) != 2 || effects[1].Kind != simulated.Void || effects[1].Key != "v" || effects[0].Key != a.Key ||
		effects[0].Amount != a.Amount || effects[0].Reference != reference || effects[0].At.IsZero() {
		t.Errorf("%+v", effects)
	}
}

// A caller that goes away ends its call; the effect stays.
func TestHangOverHTTP(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	bank := simulated.NewBank(simulated.Options{Journal: func(simulated.Effect) { close(done) }})
	url := serve(t, simulated.Handler(bank)) // its Close waits for every call
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-done; cancel() }()
	a := paying(100, "pm_sim_timeout")

	_, err := simulated.Dial(url).Authorize(ctx, a)

	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	held(t, simulated.Dial(url), a)
}

// A bank that cannot be reached, or something else in its place, is to be tried again.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	rows := map[string]string{
		"gone":   "http://" + testport.For(t).Address(),
		"absent": serve(t, http.NotFoundHandler()),
		"page": serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>", http.StatusBadGateway)
		})),
		"empty": serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "{}", http.StatusBadGateway)
		})),
		"no url": "::",
	}
	for name, url := range rows {
		_, err := simulated.Dial(url).Authorize(t.Context(), paying(1, ""))

		expect(t, name, err, "retry")
	}
}

func TestHandlerRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	h := simulated.Handler(simulated.NewBank(simulated.Options{}))
	for _, body := range []string{"", "[]", `{"key":"` + strings.Repeat("x", 65<<10) + `"}`} {
		w := httptest.NewRecorder()

		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/authorize", strings.NewReader(body)))

		if w.Code != http.StatusBadRequest {
			t.Errorf("%.10q: %d", body, w.Code)
		}
	}
}
