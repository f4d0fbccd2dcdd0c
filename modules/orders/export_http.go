package orders

import (
	"context"
	"net/http"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) exportRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/export", Name: "export-orders", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "Download orders, newest first", Produces: "text/csv, application/x-ndjson",
		Doc: "Your own orders, to administrators everybody's, as they are at one moment: however long it takes, what is " +
			"placed or changed meanwhile does not show. `ndjson` has one order in each line, as reading it gives, but without " +
			"`allowedActions`; `csv` has one row for each, amounts in minor units, and an apostrophe before cells that a " +
			"spreadsheet would take for a formula. A transfer that breaks off was cut; the end of a whole one is marked by HTTP. It is cut " +
			"within a second when your session or key ends or your role changes, when the client takes nothing for 20 seconds or less than 64 KiB/s " +
			"on average, and after 10 minutes. `too-many-exports` is 429 while your account has another export, on whatever node, and 503 when too many are running here.",
	}, m.exportOrders)
}

type exportOrdersInput struct {
	Format string `query:"format" required:"true" enum:"csv,ndjson" doc:"How to write the orders"`
	OrderFilters
}

func (m *Module) exportOrders(ctx context.Context, in *exportOrdersInput) (*web.Stream, error) {
	format := CSV
	if in.Format == "ndjson" {
		format = NDJSON
	}
	caller := identity.MustFromContext(ctx)
	export, err := m.Export(ctx, caller, in.filter(), format)
	if err != nil {
		return nil, err
	}
	lease := m.lease(caller)
	if err := lease(ctx); err != nil {
		export.Close()
		return nil, err
	}
	return web.NewStream(export, web.StreamOptions{
		ContentType: format.contentType, Filename: "orders." + format.extension, WriteTimeout: exportPatience, Log: m.Log,
		Lease: lease, MaxTime: exportTime, MinRate: exportRate, RateAfter: exportRateAfter,
	}), nil
}
