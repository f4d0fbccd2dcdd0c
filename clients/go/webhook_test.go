package orderflow

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func secret(t *testing.T) string {
	t.Helper()
	raw := make([]byte, secretLength)
	_, _ = rand.Read(raw)
	return "whsec_" + base64.StdEncoding.EncodeToString(raw)
}

// sign returns the headers of a message.
func sign(t *testing.T, secret, body string, at time.Time) http.Header {
	t.Helper()
	key, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign("msg_1", at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set("Webhook-Id", "msg_1")
	h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("Webhook-Signature", signature)
	return h
}

// SPEC G11: which messages are trusted.
func TestVerify(t *testing.T) {
	t.Parallel()
	old, now, body := secret(t), secret(t), shipped(1)
	v, err := NewVerifier(old, now)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name   string
		header http.Header
		body   string
		good   bool
	}{
		{"by the first secret", sign(t, old, body, time.Now()), body, true},
		{"by the second secret", sign(t, now, body, time.Now()), body, true},
		{"four minutes old", sign(t, now, body, time.Now().Add(-4*time.Minute)), body, true},
		{"six minutes old", sign(t, now, body, time.Now().Add(-6*time.Minute)), body, false},
		{"from the future", sign(t, now, body, time.Now().Add(6*time.Minute)), body, false},
		{"by another secret", sign(t, secret(t), body, time.Now()), body, false},
		{"another body", sign(t, now, body, time.Now()), body + " ", false},
		{"no headers", http.Header{}, body, false},
		{"another id", change(sign(t, now, body, time.Now()), "Webhook-Id", "msg_2"), body, false},
		{"another time", change(sign(t, now, body, time.Now()), "Webhook-Timestamp", "1"), body, false},
		{"another version", change(sign(t, now, body, time.Now()), "Webhook-Signature", "v2,abc"), body, false},
		{"a list of signatures", prepend(sign(t, now, body, time.Now()), "v1,abc v1a,def "), body, true},
	}
	for _, row := range rows {
		e, err := v.Verify([]byte(row.body), row.header)
		if row.good && (err != nil || e.ID != "o/1") || !row.good && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, %v", row.name, e, err)
		}
	}
}

func change(h http.Header, name, value string) http.Header {
	h.Set(name, value)
	return h
}

func prepend(h http.Header, more string) http.Header {
	return change(h, "Webhook-Signature", more+h.Get("Webhook-Signature"))
}

// A secret that anybody could guess must not be taken, such as one from an empty variable.
func TestVerifierRefusesWeakSecrets(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{{}, {""}, {"whsec_"}, {"whsec_AAAA"}, {"whsec_not base64"}, {secret(t), ""}} {
		if _, err := NewVerifier(secrets...); err == nil {
			t.Errorf("%q is taken", secrets)
		}
	}
}

// SPEC G11: what the endpoint answers, and when the handler is called.
func TestWebhookHandler(t *testing.T) {
	t.Parallel()
	key := secret(t)
	v, err := NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name, method, body string
		header             http.Header
		fails              error
		status, calls      int
	}{
		{"an event", "POST", shipped(1), sign(t, key, shipped(1), time.Now()), nil, 204, 1},
		{"not handled", "POST", shipped(1), sign(t, key, shipped(1), time.Now()), errors.New("database is away"), 500, 1},
		{"not signed", "POST", shipped(1), http.Header{}, nil, 401, 0},
		{"signed, but not an event", "POST", `[]`, sign(t, key, `[]`, time.Now()), nil, 400, 0},
		{"a look", "GET", "", http.Header{}, nil, 405, 0},
		{"too large", "POST", strings.Repeat("x", messageLimit+1), http.Header{}, nil, 413, 0},
	}
	for _, row := range rows {
		calls := 0
		handler := v.Handler(func(_ context.Context, e *Event) error {
			calls++
			if e.Type != TypeOrderShipped {
				t.Errorf("%s: %+v", row.name, e)
			}
			return row.fails
		})
		r := httptest.NewRequestWithContext(t.Context(), row.method, "/hooks", strings.NewReader(row.body))
		r.Header = row.header
		w := httptest.NewRecorder()

		handler.ServeHTTP(w, r)

		if w.Code != row.status || calls != row.calls || strings.Contains(w.Body.String(), "database") {
			t.Errorf("%s: %d after %d calls, want %d after %d: %s", row.name, w.Code, calls, row.status, row.calls, w.Body)
		}
	}
}
