package orders

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// statusEnum is the enum of statuses in the API's documents, so that no struct tag
// repeats the list.
func statusEnum() []any {
	list := make([]any, len(lifecycle.All))
	for i, s := range lifecycle.All {
		list[i] = string(s)
	}
	return list
}

// StatusFilter is a status in a query, of the closed set.
type StatusFilter lifecycle.Status

// Schema describes it to OpenAPI.
func (StatusFilter) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: statusEnum()}
}
