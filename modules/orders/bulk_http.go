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

// maxBulkBody has room for the lines that are allowed, with notes.
const maxBulkBody = 8 << 20

func (m *Module) bulkRoutes(api *web.API) {
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/bulk", Name: "place-orders", Tag: tag, Role: identity.User, Scope: identity.OrdersWrite,
		Summary: "Place up to 1,000 orders at once", MaxBody: maxBulkBody,
		Doc: "In one transaction with the Idempotency-Key, so that a repetition never places anything twice; at most " +
			"20,000 lines in all. `independent` places what it can: `data` tells of every order, by `index`, what status it " +
			"would have had alone, with the order or the problem. `atomic` places all or none: 422 names all faults, from " +
			"`/orders/0` on, and 409 `reference-taken` the `index` of an order and the `orderId` that has its reference.",
	}, ordersPlaced, m.postBulk)
}

// BulkOrderRequest are the orders that a client asks for at once.
type BulkOrderRequest struct {
	Mode   string                         `json:"mode,omitempty" enum:"atomic,independent" default:"independent" doc:"All or none, or each on its own"`
	Orders web.ItemwiseList[OrderRequest] `json:"orders" minItems:"1" maxItems:"1000" nullable:"false"`
}

type bulkInput struct {
	Body BulkOrderRequest

	baskets []BulkOrder // once they were read
	meaning []any
}

// read decodes the orders, once. They mean what those that can be read say, and what is
// wrong with the others.
func (in *bulkInput) read(ctx context.Context) error {
	for i := len(in.baskets); i < in.Body.Orders.Len(); i++ {
		wanted, err := in.Body.Orders.Read(ctx, i)
		f, told := fault.As(err)
		switch {
		case told:
			in.meaning = append(in.meaning, f.Fields)
		case err != nil:
			return err
		default:
			in.meaning = append(in.meaning, wanted)
		}
		in.baskets = append(in.baskets, BulkOrder{wanted, f})
	}
	return nil
}

func (in *bulkInput) atomic() bool { return in.Body.Mode == "atomic" }

// Meaning implements web.Meaning.
func (in *bulkInput) Meaning(ctx context.Context) (any, error) {
	err := in.read(ctx)
	return []any{in.atomic(), in.meaning}, err
}

func (m *Module) postBulk(ctx context.Context, in *bulkInput, key idempotency.Key[[]Outcome]) (idempotency.Result[[]Outcome], error) {
	if err := in.read(ctx); err != nil {
		return idempotency.Result[[]Outcome]{}, err
	}
	return m.PlaceMany(ctx, identity.MustFromContext(ctx), in.baskets, in.atomic(), key)
}

// BulkResult is what became of one order of many.
type BulkResult struct {
	Index  int                       `json:"index" doc:"Its place in orders, from 0"`
	Status int                       `json:"status" enum:"201,409,422" doc:"The status that it would have had alone"`
	Order  web.Rendered[Order]       `json:"order,omitzero" doc:"The order, with 201"`
	Error  web.Rendered[web.Problem] `json:"error,omitzero" doc:"The refusal, otherwise"`
}

var ordersPlaced = web.Responder[[]Outcome, web.Page[BulkResult]]{Body: renderOutcomes, Parse: parseOutcomes}

func renderOutcomes(ctx context.Context, list []Outcome) web.Page[BulkResult] {
	page := web.Page[BulkResult]{Data: make([]BulkResult, len(list))}
	for i, o := range list {
		r := &page.Data[i]
		switch {
		case o.stored != nil:
			*r = storedResult(o.stored)
		case o.Refused != nil:
			problem := web.ToProblem(ctx, o.Refused)
			r.Status, r.Error = problem.Status, web.Render(*problem)
		default:
			r.Status, r.Order = http.StatusCreated, web.Render(*o.Order)
		}
		r.Index = i
	}
	return page
}

// storedResult keeps the bytes of what was rendered before.
func storedResult(raw []byte) BulkResult {
	var r struct {
		Status int             `json:"status"`
		Order  json.RawMessage `json:"order"`
		Error  json.RawMessage `json:"error"`
	}
	_ = json.Unmarshal(raw, &r) // parseOutcomes has read it
	return BulkResult{Status: r.Status, Order: web.RenderedJSON[Order](r.Order), Error: web.RenderedJSON[web.Problem](r.Error)}
}

// parseOutcomes reads of a stored page which orders it shows; the rest stays as it is.
func parseOutcomes(body []byte) ([]Outcome, error) {
	var page web.Page[json.RawMessage]
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, err
	}
	list := make([]Outcome, len(page.Data))
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
