package inventory

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Product is the JSON form of a product.
type Product struct {
	SKU       string        `json:"sku" example:"GRINDER-HAND-01"`
	Name      string        `json:"name" example:"Hand grinder"`
	UnitPrice money.Money   `json:"unitPrice"`
	Stock     *int64        `json:"stock" doc:"Units on hand; null if the stock is not tracked"`
	Reserved  int64         `json:"reserved" doc:"Units that are reserved for orders"`
	Available *int64        `json:"available" doc:"stock minus reserved; null if the stock is not tracked"`
	Active    bool          `json:"active" doc:"Whether the product can be ordered"`
	Version   int64         `json:"version" doc:"Increases with every change of the product, but not with reservations; the ETag"`
	CreatedAt jsontime.Time `json:"createdAt"`
	UpdatedAt jsontime.Time `json:"updatedAt"`
}

func render(p *ent.Product) Product {
	out := Product{
		SKU: p.ID, Name: p.Name, UnitPrice: priceOf(p), Stock: p.Stock, Reserved: p.Reserved,
		Active: p.Active, Version: p.Version, CreatedAt: jsontime.At(p.CreatedAt), UpdatedAt: jsontime.At(p.UpdatedAt),
	}
	if p.Stock != nil {
		available := *p.Stock - p.Reserved
		out.Available = &available
	}
	return out
}

// Adjustment is one movement of stock: by hand, by an edit of the product, or
// because an order was shipped.
type Adjustment struct {
	ID     uuid.UUID     `json:"id"`
	SKU    string        `json:"sku"`
	Delta  int64         `json:"delta"`
	Stock  *int64        `json:"stock" doc:"Units on hand afterwards; null if the stock is not tracked"`
	Reason string        `json:"reason"`
	Actor  string        `json:"actor" example:"admin:01890a5d-ac96-774b-bcce-b302099a8057"`
	At     jsontime.Time `json:"at"`
}

func renderMovement(m *ent.Movement) Adjustment {
	return Adjustment{m.ID, m.Sku, m.Delta, m.Stock, m.Reason, m.Actor, jsontime.At(m.At)}
}

// Routes registers the module's routes (SPEC B1, B5).
func (m *Module) Routes(api *web.API) {
	const tag = "Products"
	web.Handle(api, web.Route{
		Method: "GET", Path: "/v1/products", Name: "list-products", Tag: tag, Role: identity.Anyone, Scope: identity.ProductsRead,
		Summary: "List products by sku",
		Doc: "Returns active products; administrators, and their API keys with the scopes `products:read` and `products:write`, get all products unless `active` is given. " +
			"`q` matches parts of the sku or the name without regard to case, Unicode form and punctuation; several must all occur. A page of a search examines at most " +
			"5,000 products, so in a larger catalogue it may be short or empty and still have a `nextCursor`.",
	}, m.listProducts)
	web.Handle(api, web.Route{
		Method: "GET", Path: "/v1/products/{sku}", Name: "get-product", Tag: tag, Role: identity.Anyone, Scope: identity.ProductsRead,
		Summary: "Read a product", Doc: "404 also for an inactive product, unless an administrator, or an administrator's API key with the scopes `products:read` and `products:write`, asks.",
	}, m.getProduct)
	web.HandleIdempotent(api, web.Route{
		Method: "POST", Path: "/v1/products", Name: "create-product", Tag: tag, Role: identity.Admin, Scope: identity.ProductsWrite, Status: http.StatusCreated,
		Summary: "Create a product",
		Doc: "The sku of a deleted product can be used again; units that are reserved for orders stay reserved. " +
			"409 is `sku-taken` or `below-reserved`.",
		Codes:   []string{"sku-taken"},
		Example: `{"sku":"GRINDER-01","name":"Hand grinder","unitPrice":{"amount":8900,"currency":"EUR"},"stock":35}`,
		Check:   web.CheckBody(func(_ context.Context, p ProductRequest) error { return validateProduct(&p.Name, &p.UnitPrice) }),
	}, productCreated, m.createProduct)
	web.Handle(api, web.Route{
		Method: "PATCH", Path: "/v1/products/{sku}", Name: "change-product", Tag: tag, Role: identity.Admin, Scope: identity.ProductsWrite, Errors: []int{http.StatusPreconditionFailed},
		Summary: "Change a product",
		Doc:     "A JSON merge patch: absent members are not changed. With `stock` null, the stock is no longer tracked. 409 is `below-reserved`.",
		Codes:   []string{"below-reserved"},
		Example: `{"unitPrice":{"amount":7900,"currency":"EUR"}}`,
		Check:   web.CheckBody(func(_ context.Context, p ProductUpdate) error { return validateProduct(p.Name, p.UnitPrice) }),
	}, m.changeProduct)
	web.Handle(api, web.Route{
		Method: "DELETE", Path: "/v1/products/{sku}", Name: "delete-product", Tag: tag, Role: identity.Admin, Scope: identity.ProductsWrite, Errors: []int{http.StatusPreconditionFailed},
		Summary: "Delete a product", Doc: "Units that are reserved for orders stay reserved.",
	}, m.deleteProduct)
	web.HandleIdempotent(api, web.Route{
		Method: "POST", Path: "/v1/products/{sku}/adjustments", Name: "adjust-stock", Tag: tag, Role: identity.Admin, Scope: identity.StockWrite, Status: http.StatusCreated,
		Summary: "Adjust a product's stock", Doc: "409 is `below-reserved` or `untracked`.",
		Codes:   []string{"untracked"},
		Example: `{"delta":20,"reason":"delivery 4711"}`,
		Check:   web.CheckBody(func(_ context.Context, a AdjustmentRequest) error { return a.validate() }),
	}, stockAdjusted, m.adjustStock)
	web.Handle(api, web.Route{
		Method: "GET", Path: "/v1/products/{sku}/adjustments", Name: "list-adjustments", Tag: tag, Role: identity.Admin, Scope: identity.StockRead,
		Summary: "List a product's adjustments, newest first",
		Doc:     "Includes the units that were shipped with orders. The sum of all deltas is the stock.",
	}, m.listAdjustments)
}

// Types that are embedded in inputs are exported, because huma silently skips embedded
// unexported types.

// BySKU names a product in the path.
type BySKU struct {
	SKU string `path:"sku"`
}

// Conditional is the input of routes that accept If-Match.
type Conditional struct {
	IfMatch string `header:"If-Match" doc:"Execute the request only if one of these is the product's ETag; 412 otherwise"`
}

// condition returns a check of the header, which fails with 412 for another version.
func (h Conditional) condition() (condition, error) {
	wanted, err := web.ParseIfMatch(h.IfMatch)
	return func(version int64) error {
		if wanted.Allows(version) {
			return nil
		}
		return fault.New(fault.KindPreconditionFailed, "stale", "The product has changed; its version is %d.", version)
	}, err
}

type tagged struct {
	ETag string `header:"ETag"`
	Body Product
}
