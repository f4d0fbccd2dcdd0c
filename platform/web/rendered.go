package web

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/internal/canonical"
)

// Rendered is a body that is already JSON, with the schema of T. It is sent byte for byte, so that
// the response stored under an idempotency key is replayed exactly.
type Rendered[T any] struct {
	raw []byte
	err error
}

// RenderedJSON wraps rendered bytes. They must not change afterwards.
func RenderedJSON[T any](raw []byte) Rendered[T] { return Rendered[T]{raw: raw} }

// Render renders v. An error of rendering is returned by MarshalJSON.
func Render[T any](v T) Rendered[T] {
	raw, err := canonical.Marshal(v)
	return Rendered[T]{raw: raw, err: err}
}

// MarshalJSON returns the rendered bytes, or the error of Render.
func (r Rendered[T]) MarshalJSON() ([]byte, error) {
	if r.raw == nil && r.err == nil {
		return []byte("null"), nil
	}
	return r.raw, r.err
}

func (r Rendered[T]) verbatim() ([]byte, error) { return r.MarshalJSON() }

// Schema returns the schema of T.
func (Rendered[T]) Schema(registry huma.Registry) *huma.Schema {
	return registry.Schema(reflect.TypeFor[T](), true, "")
}

func bytesOf(v any) ([]byte, error) {
	if done, ok := v.(interface{ verbatim() ([]byte, error) }); ok {
		return done.verbatim()
	}
	return canonical.Marshal(v)
}
