package orders

import (
	"context"
	"net/http"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) quoteRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/quote", Name: "quote-order", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "Price an order and check the stock",
		Doc:     "Returns the errors that placing the order would return. Nothing is stored or reserved.",
		Example: `{"items":[{"sku":"KETTLE-GOOSENECK","quantity":2}]}`,
		Check: web.CheckBody(func(ctx context.Context, q QuoteRequest) error {
			_, err := m.Quote(ctx, q.Items)
			return err
		}),
	}, m.quoteOrder)
}

// QuoteRequest has the lines to price.
type QuoteRequest struct {
	Items []OrderRequestItem `json:"items" minItems:"1" maxItems:"500" nullable:"false"`
}

func (m *Module) quoteOrder(ctx context.Context, in *struct{ Body QuoteRequest }) (*struct{ Body Quote }, error) {
	quote, err := m.Quote(ctx, in.Body.Items)
	return &struct{ Body Quote }{quote}, err
}
