// Package signature signs messages as Standard Webhooks 1.0 specifies, so that receivers
// can verify them with an existing library: webhooks, and requests to HTTP steps.
package signature

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Secret is known to the sender and the receiver.
type Secret []byte

// The specification requires 24 to 64 random bytes.
const (
	prefix    = "whsec_"
	minSecret = 24
	newSecret = 32
	maxSecret = 64
)

// NewSecret returns a random secret.
func NewSecret() Secret {
	s := make(Secret, newSecret)
	_, _ = rand.Read(s) // never fails
	return s
}

// errForm does not quote the secret.
var errForm = errors.New("is not whsec_ and the base64 of 24 to 64 bytes")

// ParseSecret parses the form that Reveal returns. Its error never quotes the text.
func ParseSecret(text string) (Secret, error) {
	encoded, found := strings.CutPrefix(text, prefix)
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(raw) < minSecret || len(raw) > maxSecret {
		return nil, errForm
	}
	return raw, nil
}

// Reveal returns the secret in the text form that receivers configure.
func (s Secret) Reveal() string { return prefix + base64.StdEncoding.EncodeToString(s) }

// Sign sets the headers of Standard Webhooks 1.0. There is one signature for each secret, so that
// a receiver can change to a new secret at any time while both are valid. The id must not
// contain dots, because they separate the parts of the signed text.
func Sign(h http.Header, secrets []Secret, id string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", strings.Join(signatures, " "))
}
