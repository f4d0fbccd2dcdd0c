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
		Doc: "Your own orders, or all orders for administrators, as a consistent snapshot: changes during the export are not included. " +
			"`ndjson` has one order per line, as `get-order` returns it, but without `allowedActions`. `csv` has one row per order, with " +
			"amounts in minor units and an apostrophe before what a spreadsheet would interpret as a formula. An incomplete export ends without " +
			"the terminating chunk of HTTP. The server ends an export within a second after your session or key ends or your role changes, when the " +
			"client reads nothing for 20 seconds or less than 64 KiB/s on average, and after 10 minutes. `too-many-exports` is 429 while your account " +
			"has another export on any node, and 503 while too many exports run on this node.",
		Codes: []string{"too-many-exports", "too-many-reads"},
	}, m.exportOrders)
}

type exportOrdersInput struct {
	Format string `query:"format" required:"true" enum:"csv,ndjson" doc:"The format of the export"`
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
