package web

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/platform/canonical"
)

// Rendered is a body that is JSON already, described as a T. It goes to the
// client byte for byte, so what was stored under an idempotency key is replayed
// exactly.
type Rendered[T any] struct {
	raw []byte
	err error
}

// RenderedJSON takes bytes that were rendered before; they must not change
// afterwards.
func RenderedJSON[T any](raw []byte) Rendered[T] { return Rendered[T]{raw: raw} }

// Render renders v now. A value that cannot be rendered fails the request later.
func Render[T any](v T) Rendered[T] {
	raw, err := canonical.Marshal(v)
	return Rendered[T]{raw: raw, err: err}
}

// MarshalJSON returns the bytes, to be stored or to be part of something else.
func (r Rendered[T]) MarshalJSON() ([]byte, error) {
	if r.raw == nil && r.err == nil {
		return []byte("null"), nil
	}
	return r.raw, r.err
}

func (r Rendered[T]) verbatim() ([]byte, error) { return r.MarshalJSON() }

// Schema is T's.
func (Rendered[T]) Schema(registry huma.Registry) *huma.Schema {
	return registry.Schema(reflect.TypeFor[T](), true, "")
}

func bytesOf(v any) ([]byte, error) {
	if done, ok := v.(interface{ verbatim() ([]byte, error) }); ok {
		return done.verbatim()
	}
	return canonical.Marshal(v)
}
