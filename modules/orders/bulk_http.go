package orders

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// maxBulkBody is enough for maxBulkLines lines with notes.
const maxBulkBody = 8 << 20

func (m *Module) bulkRoutes(api *web.API) {
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/bulk", Name: "place-orders", Tag: tag, Role: identity.User, Scope: identity.OrdersWrite,
		Summary: "Place up to 1,000 orders at once", MaxBody: maxBulkBody,
		Doc: "All orders are placed in one transaction, together with the Idempotency-Key: a repeated request never places an order twice. " +
			"The orders may have 20,000 lines in total. With `independent`, every valid order is placed; `data` has one result for each order, " +
			"by `index`, with the status that the order would have got alone and either the order or a problem. With `atomic`, either all " +
			"orders are placed or none: 422 lists all errors with pointers such as `/orders/0/items/0/sku`; 409 `reference-taken` has the " +
			"`index` of the order and the `orderId` of the order that has the reference. The request takes as many orders from the account's " +
			"limit (`ORDER_RATE_LIMIT`, the policy `orders` of `RateLimit`) as it has, also those that are rejected: 429 `too-many-orders`, and 422 if it " +
			"has more than the limit ever allows.",
		Codes:   []string{"too-many-orders"},
		Example: `{"mode":"independent","orders":[{"items":[{"sku":"KETTLE-GOOSENECK","quantity":1}],"reference":"PO-2026-0043"},{"items":[{"sku":"SCALE-TIMER","quantity":1}],"reference":"PO-2026-0044"}]}`,
	}, ordersPlaced, m.placeOrders)
}

// BulkOrderRequest is the body of a bulk request.
type BulkOrderRequest struct {
	Mode   string                         `json:"mode,omitempty" enum:"atomic,independent" default:"independent" doc:"atomic: place all orders or none; independent: place every valid order"`
	Orders web.ItemwiseList[OrderRequest] `json:"orders" minItems:"1" maxItems:"1000" nullable:"false"`
}

type placeOrdersInput struct {
	Body BulkOrderRequest

	requests []BulkOrder // set by decode
	meaning  []any
}

// decode decodes the orders once. The meaning of the request, which its idempotency key
// stands for, consists of the orders that can be decoded and of the faults of the others.
func (in *placeOrdersInput) decode(ctx context.Context) error {
	for i := len(in.requests); i < in.Body.Orders.Len(); i++ {
		request, err := in.Body.Orders.Read(ctx, i)
		f, isFault := fault.As(err)
		switch {
		case isFault:
			in.meaning = append(in.meaning, f.Fields)
		case err != nil:
			return err
		default:
			in.meaning = append(in.meaning, request)
		}
		in.requests = append(in.requests, BulkOrder{request, f})
	}
	return nil
}

func (in *placeOrdersInput) atomic() bool { return in.Body.Mode == "atomic" }

// Meaning implements web.Meaning.
func (in *placeOrdersInput) Meaning(ctx context.Context) (any, error) {
	err := in.decode(ctx)
	return []any{in.atomic(), in.meaning}, err
}

func (m *Module) placeOrders(ctx context.Context, in *placeOrdersInput, key idempotency.Key[[]BulkOrderResult]) (idempotency.Result[[]BulkOrderResult], error) {
	if err := in.decode(ctx); err != nil {
		return idempotency.Result[[]BulkOrderResult]{}, err
	}
	return m.PlaceMany(ctx, identity.MustFromContext(ctx), in.requests, in.atomic(), key)
}

// BulkResult is the JSON form of a BulkOrderResult.
type BulkResult struct {
	Index  int                       `json:"index" doc:"The index of the order in the request, from 0"`
	Status int                       `json:"status" enum:"201,409,422" doc:"The status that the order would have got in a request of its own"`
	Order  web.Rendered[Order]       `json:"order,omitzero" doc:"The order, if the status is 201"`
	Error  web.Rendered[web.Problem] `json:"error,omitzero" doc:"The problem, if the status is not 201"`
}

var ordersPlaced = web.Responder[[]BulkOrderResult, web.Page[BulkResult]]{Body: renderBulkResults, Parse: parseBulkResults}

func renderBulkResults(ctx context.Context, list []BulkOrderResult) web.Page[BulkResult] {
	page := web.Page[BulkResult]{Data: make([]BulkResult, len(list))}
	for i, o := range list {
		r := &page.Data[i]
		switch {
		case o.stored != nil:
			*r = storedResult(o.stored)
		case o.Rejection != nil:
			problem := web.ToProblem(ctx, o.Rejection)
			r.Status, r.Error = problem.Status, web.Render(*problem)
		default:
			r.Status, r.Order = http.StatusCreated, web.Render(*o.Order)
		}
		r.Index = i
	}
	return page
}

// storedResult returns the stored JSON of a result byte by byte as it was first rendered.
func storedResult(raw []byte) BulkResult {
	var r struct {
		Status int             `json:"status"`
		Order  json.RawMessage `json:"order"`
		Error  json.RawMessage `json:"error"`
	}
	_ = json.Unmarshal(raw, &r) // parseBulkResults has validated it
	return BulkResult{Status: r.Status, Order: web.RenderedJSON[Order](r.Order), Error: web.RenderedJSON[web.Problem](r.Error)}
}

// parseBulkResults reads the order ids of a stored response and keeps the JSON of the
// results as it is.
func parseBulkResults(body []byte) ([]BulkOrderResult, error) {
	var page web.Page[json.RawMessage]
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, err
	}
	list := make([]BulkOrderResult, len(page.Data))
	for i, raw := range page.Data {
		var r struct {
			Order *struct{ ID uuid.UUID }
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("result %d: %w", i, err)
		}
		if list[i].stored = raw; r.Order != nil {
			list[i].Order = &Order{ID: r.Order.ID}
		}
	}
	return list, nil
}
