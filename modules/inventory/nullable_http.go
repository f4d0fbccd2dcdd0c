package inventory

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// nullable distinguishes an absent member from null, as a merge patch requires.
type nullable[T any] struct {
	given bool
	value *T // nil is null
}

// UnmarshalJSON is only called if the member is present.
func (n *nullable[T]) UnmarshalJSON(raw []byte) error {
	n.given = true
	return json.Unmarshal(raw, &n.value)
}

// Schema returns the schema of T with null as an additional value.
func (nullable[T]) Schema(registry huma.Registry) *huma.Schema {
	s := *registry.Schema(reflect.TypeFor[T](), false, "")
	s.Nullable = true
	return &s
}
