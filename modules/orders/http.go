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
		Doc: "The lines get the names and prices of the catalogue. After the 201 the order is stored durably and will be processed. " +
			"429 `too-many-orders` beyond the account's limit of orders (`ORDER_RATE_LIMIT`, the policy `orders` of `RateLimit`). " +
			"409 is `reference-taken` or `price-changed`; the latter has the present `total`.",
		Codes:   []string{"reference-taken", "price-changed", "too-many-orders", "outcome-unknown"},
		Example: `{"items":[{"sku":"KETTLE-GOOSENECK","quantity":2}],"reference":"PO-2026-0042","paymentMethod":"pm_card_visa"}`,
		Check:   web.CheckBody(m.check),
	}, orderPlaced, m.placeOrder)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders", Name: "list-orders", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "List orders, newest first",
		Doc: "Your own orders; administrators see all orders. `q` matches whole words without regard to case and Unicode form: everything but letters, marks and " +
			"digits separates words, in the orders as in `q`. 400 `no-word` in `errors` if it has no word.",
		Codes: []string{"too-many-reads"},
	}, m.listOrders)
	m.quoteRoutes(api) // this and the next ones before {id}, which would match their paths
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
		Doc:     "Releases the stock immediately; a job voids the payment. If the order is already cancelled, it is returned unchanged.",
		Codes:   []string{"illegal-transition"},
		Example: `{"reason":"ordered twice"}`,
	}, orderChanged, m.cancelOrder)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: "/v1/orders/{id}/status", Name: "set-order-status", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Set an order's status", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc:     "Ships, completes, holds, releases, reopens or cancels the order, depending on the status.",
		Codes:   []string{"illegal-transition", "payment-unsettled"},
		Example: `{"status":"SHIPPED","tracking":"1Z999AA10123456784"}`,
		Check:   web.CheckBody(func(_ context.Context, to StatusChangeRequest) error { return to.validate() }),
	}, m.setOrderStatus)
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/hold", Name: "hold-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Put an order on hold", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc:     "The order keeps its stock and its payment authorisation until it is released or cancelled.",
		Codes:   []string{"illegal-transition"},
		Example: `{"reason":"the address is incomplete"}`,
	}, orderChanged, m.holdOrder)
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/release", Name: "release-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Release an order that is on hold", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Codes: []string{"illegal-transition"},
	}, orderChanged, m.releaseOrder)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: "/v1/orders/{id}", Name: "delete-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Delete an order", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc:   "An order that is still open is cancelled first. Its history and its ledger are kept.",
		Codes: []string{"illegal-transition"},
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

// OrderHistory lists all events of an order.
type OrderHistory struct {
	web.Page[events.Message]
}

type orderHistoryOutput struct{ Body OrderHistory }

func (m *Module) getOrderEvents(ctx context.Context, in *OrderInput) (*orderHistoryOutput, error) {
	list, err := m.History(ctx, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	messages := make([]events.Message, len(list))
	for i, e := range list {
		messages[i] = e.Message()
	}
	return &orderHistoryOutput{OrderHistory{web.Page[events.Message]{Data: messages}}}, nil
}
