package orders

import (
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/web"
)

const tag = "Orders"

// OrderInput is the input that all routes of one order share.
type OrderInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

// The responses of the routes that place an order and of those that change one.
var (
	orderPlaced = web.Responder[Order, Order]{
		Location: func(o Order) string { return "/v1/orders/" + o.ID.String() },
		Version:  func(o Order) int64 { return o.Version },
	}
	orderChanged = web.Responder[Order, Order]{Version: func(o Order) int64 { return o.Version }}
)

// Conditional is the input of routes that accept If-Match.
type Conditional struct {
	IfMatch string `header:"If-Match" doc:"Execute the request only if one of these is the order's ETag; 412 otherwise"`
}

// seen returns the versions of the header.
func (c Conditional) seen() (web.IfMatch, error) { return web.ParseIfMatch(c.IfMatch) }

// optional returns the value of a body that may be absent; then it is the zero value.
func optional[T any](body *T) (value T) {
	if body != nil {
		value = *body
	}
	return value
}
