package orders

import "github.com/danielgtaylor/huma/v2"

// TransformSchema says what a struct tag cannot: that failure may be null.
func (Order) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
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
