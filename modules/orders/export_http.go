package orders

import (
	"context"
	"net/http"

	"orderflow/platform/identity"
	"orderflow/platform/web"
)

func (m *Module) exportRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/export", Name: "export-orders", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "Download orders, newest first", Produces: "text/csv, application/x-ndjson",
		Doc: "Your own orders, to administrators everybody's, as they are at one moment: however long it takes, what is " +
			"placed or changed meanwhile does not show. `ndjson` has one order in each line, as reading it gives, but without " +
			"`allowedActions`; `csv` has one row for each, amounts in minor units, and an apostrophe before cells that a " +
			"spreadsheet would take for a formula. A transfer that breaks off was cut, also by a client that takes no more " +
			"for 20 seconds; the end of a whole one is marked by HTTP. 503 when too many are running.",
	}, m.getExport)
}

type exportInput struct {
	Format string `query:"format" required:"true" enum:"csv,ndjson" doc:"How to write the orders"`
	Narrow
}

func (m *Module) getExport(ctx context.Context, in *exportInput) (*web.Stream, error) {
	format := CSV
	if in.Format == "ndjson" {
		format = NDJSON
	}
	export, err := m.Export(ctx, identity.Must(ctx), in.filter(), format)
	if err != nil {
		return nil, err
	}
	return web.Streamed(export, web.StreamOptions{
		ContentType: format.contentType, Filename: "orders." + format.extension, Patience: exportPatience, Log: m.Out,
	}), nil
}
