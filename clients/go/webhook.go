package orderflow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// ErrSignature means that a message was not sent by the server, was changed on its way, or is
// older or newer than five minutes and may have been recorded.
var ErrSignature = errors.New("orderflow: the signature of the webhook is not valid")

// Verifier verifies webhooks according to Standard Webhooks 1.0. It is safe for concurrent use.
type Verifier struct{ keys []*standardwebhooks.Webhook }

// secretLength is the shortest secret that Standard Webhooks allows, in bytes.
const secretLength = 24

// NewVerifier returns a verifier for the secrets of an endpoint, which begin with whsec_. There are
// two while a secret is rotated; a message that is signed with one of them is valid.
func NewVerifier(secrets ...string) (*Verifier, error) {
	v := &Verifier{}
	for _, secret := range secrets {
		// The library takes an empty secret, with which anybody can sign.
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(raw) < secretLength {
			return nil, errors.New("orderflow: the secret of a webhook is whsec_ and at least 24 bytes in base64")
		}
		key, err := standardwebhooks.NewWebhookRaw(raw)
		if err != nil {
			return nil, fmt.Errorf("orderflow: %w", err)
		}
		v.keys = append(v.keys, key)
	}
	if v.keys == nil {
		return nil, errors.New("orderflow: a verifier needs the secret of the webhook")
	}
	return v, nil
}

// Verify returns the event of a message, of which body is the exact bytes received. The error is or
// wraps [ErrSignature] if the message must not be trusted.
func (v *Verifier) Verify(body []byte, header http.Header) (*Event, error) {
	var err error
	for _, key := range v.keys {
		if err = key.Verify(body, header); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	e := &Event{}
	if err := json.Unmarshal(body, e); err != nil {
		return nil, err
	}
	return e, nil
}

// messageLimit is the largest body that Handler reads. An event contains at most one order.
const messageLimit = 4 << 20

// Handler serves the endpoint of a webhook. It verifies each message and calls handle with its
// event. It answers 204 if handle returns nil; 500 if it returns an error, so that the server sends the
// message again later; and 401 without calling handle if the message cannot be verified.
//
// handle has 15 seconds, after which the server counts the delivery as failed: store the event and do
// long work elsewhere. It may be called twice with one event; Event.ID is the same.
func (v *Verifier) Handler(handle func(context.Context, *Event) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "a webhook is a POST", http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, messageLimit))
		if err != nil {
			status := http.StatusBadRequest
			if errors.As(err, new(*http.MaxBytesError)) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, "the body cannot be read", status)
			return
		}
		e, err := v.Verify(body, r.Header)
		switch {
		case errors.Is(err, ErrSignature):
			http.Error(w, "the signature is not valid", http.StatusUnauthorized)
		case err != nil:
			http.Error(w, "the event cannot be read", http.StatusBadRequest)
		case handle(r.Context(), e) != nil:
			http.Error(w, "the event was not handled", http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
}
