package webhooks

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Secret is what both sides know. The specification wants 24 to 64 random bytes.
type Secret []byte

const (
	secretPrefix = "whsec_"
	secretSize   = 32
)

// NewSecret makes one up.
func NewSecret() Secret {
	s := make(Secret, secretSize)
	_, _ = rand.Read(s) // never fails
	return s
}

// Reveal is the form in which a secret is handed over, once.
func (s Secret) Reveal() string { return secretPrefix + base64.StdEncoding.EncodeToString(s) }

// Sign puts the headers of Standard Webhooks 1.0 on a message: each secret signs,
// so that a receiver may change from one to the other in its own time. The id must
// not have dots, which part what is signed.
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
