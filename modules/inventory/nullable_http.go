package inventory

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// nullable distinguishes an absent member from null, as a merge patch requires.
type nullable[T any] struct {
	given bool
	value *T // nil is null
}

// UnmarshalJSONFrom is only called if the member is present. It keeps the options of the decoder.
func (n *nullable[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	n.given = true
	return json.UnmarshalDecode(dec, &n.value)
}

// Schema returns the schema of T with null as an additional value.
func (nullable[T]) Schema(registry huma.Registry) *huma.Schema {
	s := *registry.Schema(reflect.TypeFor[T](), false, "")
	s.Nullable = true
	return &s
}
