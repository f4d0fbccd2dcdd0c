package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
)

// Output is a response with a rendered body. B is the type that describes the body in the OpenAPI
// document.
type Output[B any] struct {
	Status   int
	Location string `header:"Location" doc:"Where the new resource is"`
	ETag     string `header:"ETag" doc:"The version, for If-Match"`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this is the kept answer to an earlier request"`
	Body     Rendered[B]
}

func outputOf[B any](r idempotency.Response, replayed bool) *Output[B] {
	out := &Output[B]{
		Status: r.Status, Location: r.Headers["Location"], ETag: r.Headers["ETag"],
		Body: RenderedJSON[B](r.Body),
	}
	if replayed {
		out.Replayed = "true"
	}
	return out
}

// Responder defines how the values that a use case returns are rendered as responses. T is the type
// of the value and B that of the body. The route sets the status.
type Responder[T, B any] struct {
	Location func(v T) string // path of a new resource; no header when nil
	Version  func(v T) int64  // sent as the ETag; no header when nil
	// Body returns the body for a value. When it is nil, the value is the body, and T and B are the
	// same type.
	Body func(ctx context.Context, v T) B
	// Parse returns the value of a stored body, for replays that depend on it. When it is nil, the
	// body is decoded as JSON.
	Parse func(body []byte) (T, error)
}

// Output renders a value for a route without keys.
func (p Responder[T, B]) Output(ctx context.Context, v T) (*Output[B], error) {
	r, err := p.Renderer(0).RenderResponse(ctx, v)
	return outputOf[B](r, false), err
}

// Renderer renders values with a status, or with 200 when it is 0. It panics if Body is required
// and not set.
func (p Responder[T, B]) Renderer(status int) idempotency.Renderer[T] {
	if p.Body == nil && reflect.TypeFor[T]() != reflect.TypeFor[B]() {
		panic(fmt.Sprintf("web: nothing makes a %v of a %v", reflect.TypeFor[B](), reflect.TypeFor[T]()))
	}
	return renderer[T, B]{p, cmp.Or(status, http.StatusOK)}
}

// renderer renders the response that is stored with an idempotency key (SPEC C3).
type renderer[T, B any] struct {
	respond Responder[T, B]
	status  int
}

func (p renderer[T, B]) RenderResponse(ctx context.Context, v T) (idempotency.Response, error) {
	r := idempotency.Response{Status: p.status}
	if p.respond.Location != nil || p.respond.Version != nil {
		r.Headers = map[string]string{}
	}
	if p.respond.Location != nil {
		r.Headers["Location"] = p.respond.Location(v)
	}
	if p.respond.Version != nil {
		r.Headers["ETag"] = ETag(p.respond.Version(v))
	}
	var err error
	if p.respond.Body == nil {
		r.Body, err = canonical.Marshal(v)
	} else {
		r.Body, err = canonical.Marshal(p.respond.Body(ctx, v))
	}
	return r, err
}

func (p renderer[T, B]) ParseResponse(r idempotency.Response) (v T, err error) {
	if p.respond.Parse != nil {
		return p.respond.Parse(r.Body)
	}
	err = json.Unmarshal(r.Body, &v)
	return v, err
}
