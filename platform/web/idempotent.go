package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const idempotencyKey = "Idempotency-Key"

// HandleIdempotent registers a route that takes effect once per Idempotency-Key (SPEC C3). The
// handler receives the key and returns the result of its use case. The Responder renders both the
// response and its stored copy.
//
// The scope of a key is the method and the path with its parameters. Its fingerprint covers the
// decoded body: white space and the order of members are ignored. An input that implements Meaning
// provides the fingerprinted value itself.
//
// It panics like Handle, and if the input has a header field for the key, which is added
// automatically.
func HandleIdempotent[I, T, B any](api *API, r Route, respond Responder[T, B],
	h func(ctx context.Context, in *I, key idempotency.Key[T]) (idempotency.Result[T], error),
) {
	r.Idempotent = true
	scope, renderer := scopeOf[I](r), respond.Renderer(r.Status)
	handle(api, r, func(ctx context.Context, in *I) (*Output[B], error) {
		key, err := keyOf[T](ctx, scope(in), in)
		if err != nil {
			return nil, err
		}
		key.Renderer = renderer
		result, err := h(ctx, in, key)
		if err != nil {
			return nil, err
		}
		if result.Response.Status == 0 {
			result.Response, err = renderer.RenderResponse(ctx, result.Value)
		}
		return outputOf[B](result.Response, result.Replayed), err
	})
}

// Meaning is implemented by inputs whose Body alone does not identify the request. Two requests
// with the same key must have the same Meaning, encoded as JSON.
type Meaning interface {
	// Meaning returns the value that identifies the request. Its error is the response.
	Meaning(ctx context.Context) (any, error)
}

func keyOf[T any](ctx context.Context, route string, in any) (key idempotency.Key[T], err error) {
	r := requestFrom(ctx)
	if r == nil || r.Header(idempotencyKey) == "" {
		return key, nil
	}
	meaning, err := meaningOf(ctx, in)
	if err != nil {
		return key, err
	}
	raw, err := canonical.Marshal(meaning)
	if err != nil {
		return key, fmt.Errorf("fingerprint a body: %w", err)
	}
	sum := sha256.Sum256(raw)
	caller := identity.MustFromContext(ctx)
	key.Request = idempotency.Request{
		Caller: caller.UserID, Role: caller.Role, Route: route, Key: r.Header(idempotencyKey), Fingerprint: sum[:],
	}
	return key, nil
}

func meaningOf(ctx context.Context, in any) (any, error) {
	if m, says := in.(Meaning); says {
		return m.Meaning(ctx)
	}
	body := reflect.ValueOf(in).Elem().FieldByName("Body")
	if !body.IsValid() {
		return nil, nil //nolint:nilnil // no body: its meaning is the JSON null
	}
	return body.Interface(), nil
}

// scopeOf returns the scope of the keys of a route from its method and path. Parameters are written
// in their parsed form, so that all spellings of an id have the same scope. Stored keys contain
// the result, so it must never change for a route.
func scopeOf[I any](r Route) func(in *I) string {
	input := reflect.TypeFor[I]()
	var pieces []string
	var fields [][]int
	rest := r.Method + " " + r.Path
	for {
		before, after, more := strings.Cut(rest, "{")
		pieces = append(pieces, before)
		if !more {
			break
		}
		name, behind, _ := strings.Cut(after, "}")
		fields, rest = append(fields, pathField(r, input, name)), behind
	}
	return func(in *I) string {
		value := reflect.ValueOf(in).Elem()
		var b strings.Builder
		for i, piece := range pieces {
			b.WriteString(piece)
			if i < len(fields) {
				fmt.Fprint(&b, value.FieldByIndex(fields[i]).Interface())
			}
		}
		return b.String()
	}
}

func pathField(r Route, input reflect.Type, name string) []int {
	for _, f := range reflect.VisibleFields(input) {
		if f.Tag.Get("path") == name {
			return f.Index
		}
	}
	panic(fmt.Sprintf("web: %s %s: the input has no field for {%s}", r.Method, r.Path, name))
}

// keyHeader describes the header as huma describes the fields of inputs.
type keyHeader struct {
	Key string `pattern:"^[\\x21-\\x7e]{1,255}$" patternDescription:"1 to 255 visible ASCII characters" maxLength:"255" doc:"Makes a repeated request act once, for 24 hours"`
}

// keyParam returns the parameter that an idempotent route has in addition to those of its input.
func keyParam(schemas huma.Registry) *huma.Param {
	field := reflect.TypeFor[keyHeader]().Field(0)
	schema := huma.SchemaFromField(schemas, field, "")
	schema.PrecomputeMessages()
	return &huma.Param{Name: idempotencyKey, In: "header", Description: field.Tag.Get("doc"), Schema: schema}
}

// checkKey validates the header, because huma does not see it.
func (p *plan) checkKey(r *request) {
	if p.key == nil {
		return
	}
	value := r.Header(idempotencyKey)
	if value == "" {
		return
	}
	var result huma.ValidateResult
	path := huma.NewPathBuffer([]byte("header."+idempotencyKey), len("header."+idempotencyKey))
	huma.Validate(p.schemas, p.key.Schema, path, huma.ModeWriteToServer, value, &result)
	for _, err := range result.Errors {
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			r.params = append(r.params, paramField(detail))
		}
	}
}
