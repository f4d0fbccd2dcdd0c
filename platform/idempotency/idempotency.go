// Package idempotency makes a repeated request act once (SPEC C3).
//
// A key's row is written in the transaction that does the work, with the response in
// it: after a crash either both are there or neither, so there is no state "started"
// to clean up, and a key is free again at once.
//
// Use cases return values and know no HTTP. How a value becomes the response that is
// stored is the Renderer's business, which the HTTP edge puts into the Key. This
// package stores responses and gives them again without looking into them.
package idempotency

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Retention is how long a response is kept.
const Retention = 24 * time.Hour

// Request identifies a request among those of its caller: same caller, same route
// with its ids, same key. Fingerprint tells whether the body is the same as well.
type Request struct {
	Caller      uuid.UUID
	Role        identity.Role // of the caller; stored with the response
	Route       string        // "POST /v1/orders"
	Key         string        // what the client chose; "" when it sent none
	Fingerprint []byte
}

// Given tells whether the client sent a key at all.
func (r Request) Given() bool { return r.Key != "" }

// Key is the idempotency key of a request for a T, as a use case takes it. The zero
// Key is for callers that never repeat: nothing is stored and nothing is rendered.
type Key[T any] struct {
	Request
	// Renderer makes the response that is stored. Without one, for callers in Go, the
	// value's JSON is stored.
	Renderer Renderer[T]
	// Still checks again, before a stored response is given to a repeated request,
	// that the caller may have it: it may refuse with a fault, or rewrite the response.
	// nil refuses only a caller with a lower role than the response was made for. The use
	// case sets it.
	Still func(ctx context.Context, q postgres.Querier, replay *Replay[T]) error
}

// Response is what is stored for a key and given again byte for byte. Its meaning is
// known to the Renderer that made it.
type Response struct {
	Status  int // from 100 on; lower numbers are stored refusals
	Headers map[string]string
	Body    []byte
}

// Result is what a use case returns.
type Result[T any] struct {
	Value    T        // the zero T when Replayed, see Response
	Response Response // of the key's Renderer, or as it was stored; zero for a zero Key
	Replayed bool     // the response of an earlier request with this key
}

// Renderer turns the values of one route into responses. It must return the same
// response for the same value.
//
// The names of its methods are unusual on purpose: for a method of a generic interface the linker
// keeps every method of that name, and Render would keep Fiber's templates (ADR 20).
type Renderer[T any] interface {
	RenderResponse(ctx context.Context, v T) (Response, error)
	// ParseResponse is the reverse of RenderResponse, for the few replays that depend on the value. It
	// must read what earlier versions of the program have rendered.
	ParseResponse(r Response) (T, error)
}

// render makes the response of a value, the zero Response for a zero Key.
func (k Key[T]) render(ctx context.Context, v T) (Response, error) {
	if k.Renderer == nil && !k.Given() {
		return Response{}, nil
	}
	return k.renderer().RenderResponse(ctx, v)
}

// Result renders a new value. It is for use cases that write keys themselves; Do
// renders what its work returns.
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

// plain is the Renderer of keys that come from no route.
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

// Replay is a stored response on its way to a repeated request.
type Replay[T any] struct {
	Demoted bool // the caller has a lower role than the response was made for

	response Response
	renderer Renderer[T]
}

// Refused tells whether a refusal is stored, which has no value.
func (r *Replay[T]) Refused() bool { return isRefusal(r.response.Status) }

// Value reads the value back from the stored response.
func (r *Replay[T]) Value() (T, error) { return r.renderer.ParseResponse(r.response) }

// Rewrite shows v instead of what is stored. Status and headers stay.
func (r *Replay[T]) Rewrite(ctx context.Context, v T) error {
	fresh, err := r.renderer.RenderResponse(ctx, v)
	if err != nil {
		return err
	}
	r.response.Body = fresh.Body
	return nil
}

// allow asks whether a stored response may be given to the caller.
func (k Key[T]) allow(ctx context.Context, q postgres.Querier, replay *Replay[T]) error {
	switch {
	case k.Still != nil:
		return k.Still(ctx, q, replay)
	case replay.Demoted:
		return fault.New(fault.KindForbidden, "forbidden", "The answer was for an administrator.")
	}
	return nil
}

// errors that a caller may be told.
func inUse() *fault.Error {
	return fault.New(fault.KindConflict, "idempotency-key-in-use", "The first request with this Idempotency-Key is still running.").WithRetryAfter(time.Second)
}

func reused() *fault.Error {
	return fault.New(fault.KindInvalid, "idempotency-key-reused", "This Idempotency-Key was used with another body.")
}

// InFlight knows the keys of the requests under way on this node, so that a
// second one is refused at once instead of waiting for the first.
type InFlight struct{ keys sync.Map }

type mark struct {
	caller     uuid.UUID
	route, key string
}

func (r Request) mark() mark { return mark{r.Caller, r.Route, r.Key} }

// Acquire claims the key until leave is called, or answers 409 with Retry-After.
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
