package inventory

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// nullable tells a member that is absent from one that is null, which a merge
// patch needs and a pointer cannot.
type nullable[T any] struct {
	given bool
	value *T // nil is null
}

// UnmarshalJSON is only called when the member is there.
func (n *nullable[T]) UnmarshalJSON(raw []byte) error {
	n.given = true
	return json.Unmarshal(raw, &n.value)
}

// Schema is T's, or null.
func (nullable[T]) Schema(registry huma.Registry) *huma.Schema {
	s := *registry.Schema(reflect.TypeFor[T](), false, "")
	s.Nullable = true
	return &s
}
