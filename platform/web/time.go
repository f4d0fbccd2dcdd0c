package web

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

// timeText describes a jsontime.Time as a date-time, because that package does not depend on OpenAPI.
type timeText struct{}

// Schema implements huma.SchemaProvider.
func (timeText) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-01-31T12:00:00.000Z"}}
	s.PrecomputeMessages()
	return s
}

// paramText describes a jsontime.Param. JSON Schema has no format for a date or a time.
type paramText struct{}

// Schema implements huma.SchemaProvider.
func (paramText) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Format: "date-or-time", Examples: []any{"2026-01-31T12:00:00.000Z", "2026-01-31"}}
	s.PrecomputeMessages()
	return s
}

func describeTimes(registry huma.Registry) {
	registry.RegisterTypeAlias(reflect.TypeFor[jsontime.Param](), reflect.TypeFor[paramText]())
	registry.RegisterTypeAlias(reflect.TypeFor[jsontime.Time](), reflect.TypeFor[timeText]())
}
