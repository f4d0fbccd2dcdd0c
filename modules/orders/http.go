package orders

import (
	"context"
	"net/http"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API) {
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders", Name: "place-order", Tag: tag, Role: identity.User, Scope: identity.OrdersWrite,
		Summary: "Place an order", Status: http.StatusCreated, Errors: []int{http.StatusConflict},
		Doc: "Accepts an order at the catalogue's names and prices. After the 201 it is durable and will be processed.",
	}, orderPlaced, m.placeOrder)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders", Name: "list-orders", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "List orders, newest first",
		Doc:     "Your own orders; administrators see everybody's.",
	}, m.listOrders)
	m.quoteRoutes(api) // before {id}, which would hide them
	m.bulkRoutes(api)
	m.statsRoutes(api)
	m.exportRoutes(api)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/{id}", Name: "get-order", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "Read an order", Errors: []int{http.StatusNotFound, http.StatusNotModified},
	}, m.getOrder)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/{id}/events", Name: "get-order-events", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "Read an order's history", Errors: []int{http.StatusNotFound},
	}, m.getOrderEvents)
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/cancel", Name: "cancel-order", Tag: tag, Role: identity.User, Scope: identity.OrdersWrite,
		Summary: "Cancel an order", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc: "Gives the stock back in the same commit, and lets the money go by a durable job. An order that is cancelled already is answered as it is.",
	}, orderChanged, m.cancelOrder)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: "/v1/orders/{id}/status", Name: "set-order-status", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Move an order on", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc: "Ships, completes, holds, releases, reopens or cancels, by the status that it is to have.",
	}, m.setOrderStatus)
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/hold", Name: "hold-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Put an order on hold", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc: "It keeps its stock and its authorisation until it is released or cancelled.",
	}, orderChanged, m.holdOrder)
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/release", Name: "release-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Let a held order go on where it was", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, orderChanged, m.releaseOrder)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: "/v1/orders/{id}", Name: "delete-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Take an order out of sight", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc: "A live order is cancelled first. Its history and its money stay on record.",
	}, m.deleteOrder)
	m.stepRoutes(api)
	m.deadRoutes(api)
}

func (m *Module) placeOrder(ctx context.Context, in *struct{ Body OrderRequest }, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return m.Place(ctx, identity.MustFromContext(ctx), in.Body, key)
}

type getOrderInput struct {
	OrderInput
	IfNoneMatch string `header:"If-None-Match"`
}

type getOrderOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *Order
}

func (m *Module) getOrder(ctx context.Context, in *getOrderInput) (*getOrderOutput, error) {
	o, err := m.Get(ctx, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	out := &getOrderOutput{Status: http.StatusOK, ETag: web.ETag(o.Version), Body: &o}
	if web.NotModified(in.IfNoneMatch, out.ETag) {
		out.Status, out.Body = http.StatusNotModified, nil
	}
	return out, nil
}

func (m *Module) getOrderEvents(ctx context.Context, in *OrderInput) (*web.PageOf[events.Message], error) {
	list, err := m.History(ctx, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	messages := make([]events.Message, len(list))
	for i, e := range list {
		messages[i] = e.Message()
	}
	return web.Paged(ctx, messages, ""), nil
}
