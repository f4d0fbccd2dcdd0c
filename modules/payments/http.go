package payments

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const tag = "Payments"

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API, orders Orders) {
	h := handlers{m, orders}
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/refunds", Name: "refund-order", Tag: tag, Role: identity.Admin, Scope: identity.PaymentsWrite,
		Summary: "Refund an order", Status: http.StatusCreated, Errors: []int{http.StatusNotFound, http.StatusConflict},
		Doc:     "Refunds an amount, or units of the order's lines. A job makes the refund at the provider. The sum of all refunds never exceeds the captured amount.",
		Codes:   []string{"nothing-captured", "refund-exceeds-captured", "refund-exceeds-order"},
		Example: `{"amount":{"amount":1000,"currency":"EUR"},"reason":"arrived damaged"}`,
	}, refundRequested, h.refundOrder)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/{id}/refunds", Name: "list-refunds", Tag: tag, Role: identity.User, Scope: identity.PaymentsRead,
		Summary: "List an order's refunds, oldest first", Errors: []int{http.StatusNotFound},
	}, h.listRefunds)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/{id}/ledger", Name: "get-order-ledger", Tag: tag, Role: identity.User, Scope: identity.PaymentsRead,
		Summary: "Read an order's ledger", Errors: []int{http.StatusNotFound},
		Doc: "Double-entry bookkeeping: the sum of the debits equals the sum of the credits.",
	}, h.getOrderLedger)
}

type handlers struct {
	m      *Module
	orders Orders
}

// RefundRequest is the body of a request for a refund.
type RefundRequest struct {
	Amount *money.Money `json:"amount,omitzero" doc:"The amount to refund; alternative to items"`
	Items  []RefundItem `json:"items,omitempty" maxItems:"500" doc:"The units to refund; alternative to amount"`
	Reason string       `json:"reason" minLength:"1" maxLength:"500"`
}

// OrderPath is the input that all routes of this module share.
type OrderPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

var refundRequested = web.Responder[settlement.Refund, RefundResponse]{Body: func(_ context.Context, r settlement.Refund) RefundResponse {
	refunded, _ := r.(RefundResponse) // it comes from this module's Settlement
	return refunded
}}

func (h handlers) refundOrder(ctx context.Context, in *struct {
	OrderPath
	Body RefundRequest
}, key idempotency.Key[settlement.Refund]) (idempotency.Result[settlement.Refund], error) {
	var skus []string
	var units []int64
	for _, item := range in.Body.Items {
		skus, units = append(skus, item.SKU), append(units, item.Quantity)
	}
	return h.orders.Refund(ctx, identity.MustFromContext(ctx), in.ID, in.Body.Amount, skus, units, in.Body.Reason, key)
}

func (h handlers) listRefunds(ctx context.Context, in *OrderPath) (*web.PageOf[RefundResponse], error) {
	if err := h.orders.Visible(ctx, identity.MustFromContext(ctx), in.ID); err != nil {
		return nil, err
	}
	list, err := h.m.refunds(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return web.Paged(ctx, list, ""), nil
}

func (h handlers) getOrderLedger(ctx context.Context, in *OrderPath) (*web.PageOf[LedgerEntry], error) {
	if err := h.orders.Visible(ctx, identity.MustFromContext(ctx), in.ID); err != nil {
		return nil, err
	}
	list, err := h.m.ledger(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return web.Paged(ctx, list, ""), nil
}
