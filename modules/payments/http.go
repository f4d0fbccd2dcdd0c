package payments

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Orders are whose money this is.
type Orders interface {
	// Visible returns the fault of an order that the caller may not see.
	Visible(ctx context.Context, caller identity.Caller, order uuid.UUID) error
	// Refund asks for money to go back: amount, or what the units by sku came to.
	Refund(ctx context.Context, caller identity.Caller, order uuid.UUID, amount *money.Money, skus []string, units []int64, reason string, key idempotency.Key) (idempotency.Answer, error)
}

const tag = "Payments"

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API, orders Orders) {
	h := handlers{m, orders}
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/refunds", Name: "refund-order", Tag: tag, Role: identity.Admin, Scope: identity.PaymentsWrite,
		Summary: "Refund an order", Status: http.StatusCreated, Errors: []int{http.StatusNotFound, http.StatusConflict},
		Doc: "By amount, or by the units of its lines. The money goes back by a durable job; all refunds together never exceed what was captured.",
	}, h.refundOrder)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/{id}/refunds", Name: "list-refunds", Tag: tag, Role: identity.User, Scope: identity.PaymentsRead,
		Summary: "List an order's refunds, oldest first", Errors: []int{http.StatusNotFound},
	}, h.listRefunds)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/{id}/ledger", Name: "get-order-ledger", Tag: tag, Role: identity.User, Scope: identity.PaymentsRead,
		Summary: "Read an order's ledger", Errors: []int{http.StatusNotFound},
		Doc: "Double entry: the debits always equal the credits.",
	}, h.getOrderLedger)
}

type handlers struct {
	m      *Module
	orders Orders
}

// RefundOf is a number of units of one sku.
type RefundOf struct {
	SKU      string `json:"sku" minLength:"1" maxLength:"64"`
	Quantity int64  `json:"quantity" minimum:"1" maximum:"500000000"`
}

// NewRefund is what is to go back, and why.
type NewRefund struct {
	Amount *money.Money `json:"amount,omitzero" doc:"This much; or give items"`
	Items  []RefundOf   `json:"items,omitempty" maxItems:"500" doc:"What these units cost; or give amount"`
	Reason string       `json:"reason" minLength:"1" maxLength:"500"`
}

// Refunded is a refund as the outside sees it.
type Refunded struct {
	ID        uuid.UUID   `json:"id"`
	OrderID   uuid.UUID   `json:"orderId"`
	Status    string      `json:"status" enum:"PENDING,DONE,FAILED,ABANDONED"`
	Amount    money.Money `json:"amount"`
	Items     []RefundOf  `json:"items" doc:"What it was asked for by; empty when by amount"`
	Reason    string      `json:"reason"`
	Failure   *string     `json:"failure" doc:"The provider's code, when it failed"`
	CreatedAt web.Time    `json:"createdAt"`
}

func renderRefund(r *refund) Refunded {
	out := Refunded{
		ID: r.id, OrderID: r.order, Status: strings.ToUpper(r.state), Amount: r.money(),
		Reason: r.reason, Failure: r.code, CreatedAt: web.At(r.createdAt),
	}
	for _, sku := range slices.Sorted(maps.Keys(r.items)) {
		out.Items = append(out.Items, RefundOf{sku, r.items[sku]})
	}
	return out
}

// OfOrder is the part that all routes here share.
type OfOrder struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (h handlers) refundOrder(ctx context.Context, in *struct {
	OfOrder
	idempotency.Header
	Body NewRefund
}) (*idempotency.Output[Refunded], error) {
	key, err := in.KeyOf(ctx, "POST /v1/orders/"+in.ID.String()+"/refunds", in.Body)
	if err != nil {
		return nil, err
	}
	var skus []string
	var units []int64
	for _, item := range in.Body.Items {
		skus, units = append(skus, item.SKU), append(units, item.Quantity)
	}
	answer, err := h.orders.Refund(ctx, identity.Must(ctx), in.ID, in.Body.Amount, skus, units, in.Body.Reason, key)
	if err != nil {
		return nil, err
	}
	return idempotency.Out[Refunded](answer), nil
}

func (h handlers) listRefunds(ctx context.Context, in *OfOrder) (*web.PageOf[Refunded], error) {
	if err := h.orders.Visible(ctx, identity.Must(ctx), in.ID); err != nil {
		return nil, err
	}
	rows, err := h.m.pool.Query(ctx, selectRefunds, []uuid.UUID{in.ID})
	if err != nil {
		return nil, wrap("refunds", in.ID, err)
	}
	list, err := collectRefunds(rows)
	if err != nil {
		return nil, wrap("refunds", in.ID, err)
	}
	page := make([]Refunded, len(list))
	for i, r := range list {
		page[i] = renderRefund(r)
	}
	return web.Paged(ctx, page, ""), nil
}

func (h handlers) getOrderLedger(ctx context.Context, in *OfOrder) (*web.PageOf[Entry], error) {
	if err := h.orders.Visible(ctx, identity.Must(ctx), in.ID); err != nil {
		return nil, err
	}
	list, err := h.m.ledger(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return web.Paged(ctx, list, ""), nil
}
