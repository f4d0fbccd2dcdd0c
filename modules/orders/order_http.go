package orders

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/web"
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

// statusSchema describes a status. The documents list it once, as OrderStatus.
func statusSchema(doc string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Description: doc, Enum: statusEnum(), Extensions: web.SchemaName("OrderStatus")}
	s.PrecomputeMessages()
	return s
}

// named makes the documents list a schema once, under a name.
func named(name string, s *huma.Schema) { s.Extensions = web.SchemaName(name) }

// TransformSchema gives the choice on shortage the name that it has in orders.
func (OrderRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	named("OnShortage", s.Properties["onShortage"])
	return s
}

// StatusFilter is a status in a query string.
type StatusFilter lifecycle.Status

// Schema describes it to OpenAPI.
func (StatusFilter) Schema(huma.Registry) *huma.Schema {
	return statusSchema("")
}

// TransformSchema lists the statuses.
func (StatusChangeRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["status"] = statusSchema(s.Properties["status"].Description)
	return s
}

// TransformSchema lists the statuses, which the aggregate declares without tags.
func (Data) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["status"] = statusSchema(s.Properties["status"].Description)
	s.Properties["previousStatus"] = statusSchema(s.Properties["previousStatus"].Description)
	return s
}

// TransformSchema adds what struct tags cannot express: the statuses, and that failure may be
// null.
func (Order) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["status"] = statusSchema(s.Properties["status"].Description)
	named("PaymentStatus", s.Properties["paymentStatus"])
	named("OnShortage", s.Properties["onShortage"])
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
