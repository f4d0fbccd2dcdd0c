// Package idempotency ensures that a repeated request takes effect once (SPEC C3).
//
// The row of a key contains the response and is written in the transaction that does the work.
// After a crash both exist or neither does, so there is no state "started" to clean up, and the
// key can be used again at once.
//
// Use cases return values and do not depend on HTTP. A Renderer, which the HTTP layer sets in the
// Key, renders a value as the response to store. This package does not interpret stored responses.
package idempotency

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Retention is the time for which a response is stored.
const Retention = 24 * time.Hour

// Request identifies a request by its caller, its route including the ids, and its key. Fingerprint
// shows whether the body is the same as well.
type Request struct {
	Caller      uuid.UUID
	Role        identity.Role // of the caller; stored with the response
	Route       string        // "POST /v1/orders"
	Key         string        // chosen by the client; "" when it sent none
	Fingerprint []byte
}

// Given reports whether the client sent a key.
func (r Request) Given() bool { return r.Key != "" }

// Key is the idempotency key of a request whose use case returns a T. The zero Key is for callers
// that never repeat a request: nothing is stored and nothing is rendered.
type Key[T any] struct {
	Request
	// Renderer renders the response that is stored. Without one, for callers in Go, the value is
	// stored as JSON.
	Renderer Renderer[T]
	// Still checks whether the caller may still receive a stored response before it is replayed.
	// It may return a fault or rewrite the response. When it is nil, only callers with a lower
	// role than that of the original request are rejected. The use case sets it.
	Still func(ctx context.Context, q postgres.Querier, replay *Replay[T]) error
}

// Response is stored with a key and replayed byte for byte. Only the Renderer that created it
// interprets it.
type Response struct {
	Status  int // 100 or more; lower numbers are stored errors
	Headers map[string]string
	Body    []byte
}

// Result is the result of a use case.
type Result[T any] struct {
	Value    T        // zero when Replayed is set; see Response
	Response Response // rendered or stored; zero for a zero Key
	Replayed bool     // Response belongs to an earlier request with this key
}

// Renderer renders the values of one route as responses. It must return the same response for the
// same value.
//
// The names of its methods are unusual on purpose: for a method of a generic interface the linker
// keeps every method of that name, and Render would keep Fiber's templates (ADR 20).
type Renderer[T any] interface {
	// RenderResponse returns the response that is sent and stored.
	RenderResponse(ctx context.Context, v T) (Response, error)
	// ParseResponse is the reverse of RenderResponse, for the few replays that depend on the value.
	// It must accept the responses that earlier versions of the program have rendered.
	ParseResponse(r Response) (T, error)
}

// render renders a value. It returns the zero Response for a zero Key.
func (k Key[T]) render(ctx context.Context, v T) (Response, error) {
	if k.Renderer == nil && !k.Given() {
		return Response{}, nil
	}
	return k.renderer().RenderResponse(ctx, v)
}

// Result renders a new value. It is for use cases that write keys themselves; Do renders the value
// that work returns.
func (k Key[T]) Result(ctx context.Context, v T) (Result[T], error) {
	response, err := k.render(ctx, v)
	return Result[T]{Value: v, Response: response}, err
}

func (k Key[T]) renderer() Renderer[T] {
	if k.Renderer == nil {
		return plain[T]{}
	}
	return k.Renderer
}

// plain is the Renderer of keys without a route.
type plain[T any] struct{}

func (plain[T]) RenderResponse(_ context.Context, v T) (Response, error) {
	const ok = 200
	body, err := canonical.Marshal(v)
	return Response{Status: ok, Body: body}, err
}

func (plain[T]) ParseResponse(r Response) (v T, err error) {
	err = json.Unmarshal(r.Body, &v)
	return v, err
}

// Replay is a stored response that is about to be returned to a repeated request.
type Replay[T any] struct {
	Demoted bool // the caller has a lower role than that of the original request

	response Response
	renderer Renderer[T]
}

// Refused reports whether the stored response is an error, which has no value.
func (r *Replay[T]) Refused() bool { return isRefusal(r.response.Status) }

// Value parses the value of the stored response.
func (r *Replay[T]) Value() (T, error) { return r.renderer.ParseResponse(r.response) }

// Rewrite replaces the body of the response with v. Status and headers do not change.
func (r *Replay[T]) Rewrite(ctx context.Context, v T) error {
	fresh, err := r.renderer.RenderResponse(ctx, v)
	if err != nil {
		return err
	}
	r.response.Body = fresh.Body
	return nil
}

// allow checks whether the caller may receive the stored response.
func (k Key[T]) allow(ctx context.Context, q postgres.Querier, replay *Replay[T]) error {
	switch {
	case k.Still != nil:
		return k.Still(ctx, q, replay)
	case replay.Demoted:
		return fault.New(fault.KindForbidden, "forbidden", "The answer was for an administrator.")
	}
	return nil
}

// inUse and reused are errors for clients.
func inUse() *fault.Error {
	return fault.New(fault.KindConflict, "idempotency-key-in-use", "The first request with this Idempotency-Key is still running.").WithRetryAfter(time.Second)
}

func reused() *fault.Error {
	return fault.New(fault.KindInvalid, "idempotency-key-reused", "This Idempotency-Key was used with another body.")
}

// InFlight holds the keys of the requests in progress on this node, so that a second request is
// rejected at once instead of waiting for the first.
type InFlight struct{ keys sync.Map }

type mark struct {
	caller     uuid.UUID
	route, key string
}

func (r Request) mark() mark { return mark{r.Caller, r.Route, r.Key} }

// Acquire claims the key until leave is called, or returns a 409 with Retry-After.
func (r *InFlight) Acquire(q Request) (leave func(), err error) {
	if !q.Given() {
		return func() {}, nil
	}
	m := q.mark()
	if _, taken := r.keys.LoadOrStore(m, struct{}{}); taken {
		return nil, inUse()
	}
	return func() { r.keys.Delete(m) }, nil
}
