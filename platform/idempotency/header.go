package idempotency

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Header is embedded in the input of every POST that creates or acts (SPEC C3).
type Header struct {
	IdempotencyKey string `header:"Idempotency-Key" pattern:"^[\\x21-\\x7e]{1,255}$" patternDescription:"1 to 255 visible ASCII characters" maxLength:"255" doc:"Makes a repeated request act once, for 24 hours"`
}

// KeyOf makes the key of a caller's request. What is the same body is decided by
// its meaning: white space and the order of members do not count.
func (h Header) KeyOf(ctx context.Context, route string, body any) (Key, error) {
	if h.IdempotencyKey == "" {
		return Key{}, nil
	}
	raw, err := web.Marshal(body)
	if err != nil {
		return Key{}, fmt.Errorf("fingerprint a body: %w", err)
	}
	sum := sha256.Sum256(raw)
	caller := identity.Must(ctx)
	return Key{Caller: caller.UserID, Role: caller.Role, Route: route, Key: h.IdempotencyKey, Fingerprint: sum[:]}, nil
}

// Output is an answer on its way out: T is what its body is a rendering of.
type Output[T any] struct {
	Status   int
	Location string `header:"Location" doc:"Where the new resource is"`
	ETag     string `header:"ETag" doc:"The version, for If-Match"`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this is the kept answer to an earlier request"`
	Body     web.Rendered[T]
}

// Out renders an answer of Do.
func Out[T any](a Answer) *Output[T] {
	out := &Output[T]{
		Status: a.Status, Location: a.Headers["Location"], ETag: a.Headers["ETag"],
		Body: web.RenderedJSON[T](a.Body),
	}
	if a.Replayed {
		out.Replayed = "true"
	}
	return out
}
