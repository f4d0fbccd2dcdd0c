package signature_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/orderflow-dev/orderflow/internal/signature"
)

func Example() {
	secret, err := signature.ParseSecret("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		fmt.Println(err)
		return
	}
	header := http.Header{}
	signature.Sign(header, []signature.Secret{secret}, "msg_1", time.Unix(1795481470, 0), []byte(`{"step":"fraud"}`))
	fmt.Println(header.Get("webhook-id"), header.Get("webhook-timestamp"))
	fmt.Println(header.Get("webhook-signature"))
	// Output:
	// msg_1 1795481470
	// v1,Jlhpoe80j4MO799ztA1TIXJaHmRwPZCQUGsAA1eEgGA=
}

// The library of Standard Webhooks accepts the signature of each secret, and of no other one.
func TestLibraryVerifies(t *testing.T) {
	t.Parallel()
	first, second, header, body := signature.NewSecret(), signature.NewSecret(), http.Header{}, []byte(`{"a":1}`)

	signature.Sign(header, []signature.Secret{first, second}, "msg_1", time.Now(), body)

	for name, row := range map[string]struct {
		secret   signature.Secret
		body     []byte
		verifies bool
	}{
		"first":        {first, body, true},
		"second":       {second, body, true},
		"another":      {signature.NewSecret(), body, false},
		"another body": {first, []byte(`{"a":2}`), false},
	} {
		w, err := standardwebhooks.NewWebhook(row.secret.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Verify(row.body, header); (err == nil) != row.verifies {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseSecret(t *testing.T) {
	t.Parallel()
	made := signature.NewSecret()
	if got, err := signature.ParseSecret(made.Reveal()); err != nil || !bytes.Equal(got, made) {
		t.Errorf("the form of Reveal is not parsed: %v", err)
	}
	reveal := func(n int) string { return signature.Secret(make([]byte, n)).Reveal() }
	for _, good := range []string{reveal(24), reveal(64)} {
		if _, err := signature.ParseSecret(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "whsec_", reveal(23), reveal(65), strings.TrimPrefix(made.Reveal(), "whsec_"), "whsec_not-base64-but-long-enough-for-a-secret",
	} {
		_, err := signature.ParseSecret(bad)
		if err == nil || len(bad) > 6 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
