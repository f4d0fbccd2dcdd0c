package orders

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) statsRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/stats", Name: "get-order-stats", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "Count orders by status, with their rate and the oldest of each",
		Doc: "Counts your own orders; administrators count all orders, or those of one user. At high load the rate is calculated from the " +
			"newest 20,000 orders. 429 `too-many-reads` if ten requests of the account are already waiting.",
	}, m.getOrderStats)
}

type getOrderStatsInput struct {
	UserID uuid.UUID `query:"userId" format:"uuid" doc:"Administrators only: the orders of this user"`
}

func (m *Module) getOrderStats(ctx context.Context, in *getOrderStatsInput) (*struct{ Body Stats }, error) {
	stats, err := m.Stats(ctx, identity.MustFromContext(ctx), in.UserID)
	return &struct{ Body Stats }{stats}, err
}

// TransformSchema adds what struct tags cannot express: the members of oldest may be null.
func (*Stats) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	if each, ok := s.Properties["oldest"].AdditionalProperties.(*huma.Schema); ok {
		s.Properties["oldest"].AdditionalProperties = &huma.Schema{AnyOf: []*huma.Schema{{Ref: each.Ref}, {Type: "null"}}}
	}
	return s
}
