package orders

import (
	"context"
	"net/http"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// maxBulkBody has room for the lines that are allowed, with notes.
const maxBulkBody = 8 << 20

func (m *Module) bulkRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/bulk", Name: "place-orders", Tag: tag, Role: identity.User, Scope: identity.OrdersWrite,
		Summary: "Place up to 1,000 orders at once", MaxBody: maxBulkBody,
		Doc: "In one transaction with the Idempotency-Key, so that a repetition never places anything twice; at most " +
			"20,000 lines in all. `independent` places what it can: `data` tells of every order, by `index`, what status it " +
			"would have had alone, with the order or the problem. `atomic` places all or none: 422 names all faults, from " +
			"`/orders/0` on, and 409 `reference-taken` the `index` of an order and the `orderId` that has its reference.",
	}, m.postBulk)
}

// BulkWanted are the orders that a client asks for at once.
type BulkWanted struct {
	Mode   string           `json:"mode,omitempty" enum:"atomic,independent" default:"independent" doc:"All or none, or each on its own"`
	Orders web.Each[Wanted] `json:"orders" minItems:"1" maxItems:"1000" nullable:"false"`
}

type bulkInput struct {
	idempotency.Header
	Body BulkWanted
}

func (m *Module) postBulk(ctx context.Context, in *bulkInput) (*idempotency.Output[web.Page[BulkResult]], error) {
	baskets, body, err := basketsIn(ctx, in.Body.Orders)
	if err != nil {
		return nil, err
	}
	atomic := in.Body.Mode == "atomic"
	key, err := in.KeyOf(ctx, "POST /v1/orders/bulk", []any{atomic, body})
	if err != nil {
		return nil, err
	}
	answer, err := m.PlaceMany(ctx, identity.Must(ctx), baskets, atomic, key)
	if err != nil {
		return nil, err
	}
	return idempotency.Out[web.Page[BulkResult]](answer), nil
}

// basketsIn reads the orders of a request, and says what its key stands for: the
// meaning of those that can be read, and what is wrong with the others.
func basketsIn(ctx context.Context, orders web.Each[Wanted]) (baskets []Basket, body []any, err error) {
	for i := range orders.Len() {
		wanted, err := orders.Read(ctx, i)
		f, told := fault.As(err)
		switch {
		case told:
			body = append(body, f.Fields)
		case err != nil:
			return nil, nil, err
		default:
			body = append(body, wanted)
		}
		baskets = append(baskets, Basket{wanted, f})
	}
	return baskets, body, nil
}
