package orders

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// statusEnum returns the enum of statuses for the OpenAPI document, so that no struct tag has
// to repeat the list.
func statusEnum() []any {
	list := make([]any, len(lifecycle.All))
	for i, s := range lifecycle.All {
		list[i] = string(s)
	}
	return list
}

// StatusFilter is a status in a query string.
type StatusFilter lifecycle.Status

// Schema describes it to OpenAPI.
func (StatusFilter) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: statusEnum()}
}

// TransformSchema lists the statuses.
func (StatusChange) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["status"].Enum = statusEnum()
	return s
}

// TransformSchema lists the statuses, which the aggregate declares without tags.
func (Data) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["status"].Enum = statusEnum()
	s.Properties["previousStatus"].Enum = statusEnum()
	return s
}

// TransformSchema adds what struct tags cannot express: the statuses, and that failure may be
// null.
func (Order) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["status"].Enum = statusEnum()
	doc := s.Properties["failure"].Description
	s.Properties["failure"] = &huma.Schema{
		Description: doc,
		AnyOf:       []*huma.Schema{{Ref: s.Properties["failure"].Ref}, {Type: "null"}},
	}
	return s
}

// Schema describes it to OpenAPI.
func (Metadata) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Nullable: true, AdditionalProperties: true,
		Description: "The caller's own JSON object, at most 16 KiB",
	}
}
