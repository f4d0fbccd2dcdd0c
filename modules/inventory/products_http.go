package inventory

import (
	"context"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) listProducts(ctx context.Context, in *struct {
	web.Paging
	Active string `query:"active" enum:"true,false" doc:"true: only active products; false: only inactive ones, which only administrators see"`
	Q      string `query:"q" format:"words" minLength:"1" maxLength:"100" doc:"Parts of the sku or the name, separated by spaces, that must all occur"`
}) (*web.PageOf[Product], error) {
	return web.KeysetFrom(ctx, in.Paging, func(after string) ([]Product, string, error) {
		active, some := shown(ctx, in.Active)
		if !some {
			return nil, "", nil
		}
		rows, next, err := m.list(ctx, filter{text: in.Q, limit: in.Limit, active: active, after: after})
		return each(rows, render), next, err
	})
}

// shown returns the requested filter; by default active products, and all for callers who see
// inactive ones. The result some is false if there is nothing that the caller may see.
func shown(ctx context.Context, asked string) (active *bool, some bool) {
	inactive := seesInactive(ctx)
	if asked == "" && inactive {
		return nil, true
	}
	return new(asked != "false"), inactive || asked != "false"
}

// seesInactive reports whether the caller may see products that are not for sale: they may be
// unreleased. Everybody reads the others (SPEC B1; ASVS 8.2.3).
func seesInactive(ctx context.Context) bool {
	caller, known := identity.FromContext(ctx)
	return known && caller.IsAdmin() && caller.AllowsScope(identity.ProductsWrite)
}

func (m *Module) getProduct(ctx context.Context, in *BySKU) (*tagged, error) {
	p, err := live(ctx, m.pool, in.SKU)
	if err != nil {
		return nil, err
	}
	if !p.Active && !seesInactive(ctx) {
		return nil, fault.NotFound("product")
	}
	return &tagged{web.ETag(p.Version), render(p)}, nil
}

var productCreated = web.Responder[*ent.Product, Product]{
	Location: func(p *ent.Product) string { return "/v1/products/" + p.ID },
	Version:  func(p *ent.Product) int64 { return p.Version },
	Body:     func(_ context.Context, p *ent.Product) Product { return render(p) },
}

func (m *Module) createProduct(ctx context.Context, in *struct{ Body ProductRequest }, key idempotency.Key[*ent.Product]) (idempotency.Result[*ent.Product], error) {
	return m.create(ctx, identity.MustFromContext(ctx), key, in.Body)
}

// ProductUpdate is a merge patch (RFC 7396); a price is replaced as a whole.
type ProductUpdate struct {
	Name      *string         `json:"name,omitempty" nullable:"false" minLength:"1" maxLength:"200"`
	UnitPrice *money.Money    `json:"unitPrice,omitempty" nullable:"false"`
	Stock     nullable[int64] `json:"stock,omitzero" minimum:"0" maximum:"1000000000000" doc:"Units on hand; null if the stock is not tracked"`
	Active    *bool           `json:"active,omitempty" nullable:"false"`
}

func (m *Module) changeProduct(ctx context.Context, in *struct {
	BySKU
	Conditional
	Body ProductUpdate
}) (*tagged, error) {
	meets, err := in.condition()
	if err != nil {
		return nil, err
	}
	c := change{name: in.Body.Name, price: in.Body.UnitPrice, active: in.Body.Active}
	if in.Body.Stock.given {
		c.stock = &in.Body.Stock.value
	}
	p, err := m.change(ctx, identity.MustFromContext(ctx), in.SKU, meets, c)
	if err != nil {
		return nil, err
	}
	return &tagged{web.ETag(p.Version), render(p)}, nil
}

func (m *Module) deleteProduct(ctx context.Context, in *struct {
	BySKU
	Conditional
}) (*struct{}, error) {
	meets, err := in.condition()
	if err != nil {
		return nil, err
	}
	return nil, m.remove(ctx, in.SKU, meets)
}

// AdjustmentRequest is the body of a request to adjust the stock.
type AdjustmentRequest struct {
	Delta  int64  `json:"delta" doc:"Units to add; negative to remove; not zero" example:"-2"`
	Reason string `json:"reason" minLength:"1" maxLength:"500" example:"broken in transit"`
}

func (a AdjustmentRequest) validate() error {
	if a.Delta == 0 {
		return fault.Invalid(fault.Field{Pointer: "/delta", Code: "invalid", Message: "must not be zero"})
	}
	return nil
}

var stockAdjusted = web.Responder[*ent.Movement, Adjustment]{
	Body: func(_ context.Context, mv *ent.Movement) Adjustment { return renderMovement(mv) },
}

func (m *Module) adjustStock(ctx context.Context, in *struct {
	BySKU
	Body AdjustmentRequest
}, key idempotency.Key[*ent.Movement]) (idempotency.Result[*ent.Movement], error) {
	return m.adjust(ctx, identity.MustFromContext(ctx), key, in.SKU, in.Body.Delta, in.Body.Reason)
}

func (m *Module) listAdjustments(ctx context.Context, in *struct {
	BySKU
	web.Paging
}) (*web.PageOf[Adjustment], error) {
	return web.KeysetFrom(ctx, in.Paging, func(after uuid.UUID) ([]Adjustment, uuid.UUID, error) {
		rows, next, err := m.movements(ctx, in.SKU, after, in.Limit)
		return each(rows, renderMovement), next, err
	})
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}
