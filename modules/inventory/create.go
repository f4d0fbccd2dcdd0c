package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/printable"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// ProductRequest is the body of a request to create a product.
type ProductRequest struct {
	SKU       string      `json:"sku" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$" patternDescription:"letters, digits, dots, underscores and hyphens, not only dots" doc:"The identifier of the product; it never changes" example:"GRINDER-01"`
	Name      string      `json:"name" minLength:"1" maxLength:"200" example:"Hand grinder"`
	UnitPrice money.Money `json:"unitPrice"`
	Stock     *int64      `json:"stock" required:"false" nullable:"true" minimum:"0" maximum:"1000000000000" doc:"Units on hand; if absent or null, the stock is not tracked and the product is always available" example:"25"`
	Active    *bool       `json:"active,omitempty" required:"false" nullable:"false" default:"true" doc:"Whether the product can be ordered"`
}

func (p ProductRequest) active() bool { return p.Active == nil || *p.Active }

// create creates a product, once per key. If the sku belonged to a deleted product, the row is
// reused and its version continues, so that no old ETag matches the new product.
func (m *Module) create(ctx context.Context, by identity.Caller, key idempotency.Key[*ent.Product], p ProductRequest) (idempotency.Result[*ent.Product], error) {
	if err := validateProduct(&p.Name, &p.UnitPrice); err != nil {
		return idempotency.Result[*ent.Product]{}, err
	}
	created, err := idempotency.Do(ctx, m.running, m.pool, key, func(tx pgx.Tx) (*ent.Product, error) {
		return add(ctx, tx, by.Actor(), p)
	})
	if !created.Replayed {
		m.published(err)
	}
	return created, err
}

func add(ctx context.Context, tx pgx.Tx, by identity.Actor, n ProductRequest) (*ent.Product, error) {
	old, err := lockProduct(ctx, tx, n.SKU)
	if err != nil && !ent.IsNotFound(err) {
		return nil, err
	}
	if old != nil && old.DeletedAt == nil {
		return nil, skuTaken(n.SKU)
	}

	var p *ent.Product
	var before *int64
	if old == nil {
		p, err = insertProduct(ctx, tx, n)
	} else {
		before = old.Stock
		p, err = revive(ctx, tx, old, n)
	}
	if err != nil {
		return nil, err
	}
	if err := recordChange(ctx, tx, p, before, "initial", by); err != nil {
		return nil, err
	}
	if err := recordProduct(ctx, tx, auditProductCreated, nil, p); err != nil {
		return nil, err
	}
	return p, bump(ctx, tx)
}

func insertProduct(ctx context.Context, tx pgx.Tx, n ProductRequest) (*ent.Product, error) {
	at := postgres.Now()
	p, err := ent.On(tx).Product.Create().
		SetID(n.SKU).SetName(n.Name).SetUnitPrice(n.UnitPrice.Amount).SetCurrency(n.UnitPrice.Currency).
		SetNillableStock(n.Stock).SetActive(n.active()).SetCreatedAt(at).SetUpdatedAt(at).
		Save(ctx)
	if postgres.Violates(err, "products_pkey") { // a concurrent request has created it
		return nil, skuTaken(n.SKU)
	}
	if err != nil {
		return nil, fmt.Errorf("insert product %s: %w", n.SKU, err)
	}
	return p, nil
}

func revive(ctx context.Context, tx pgx.Tx, old *ent.Product, n ProductRequest) (*ent.Product, error) {
	if err := covers(n.Stock, old.Reserved); err != nil {
		return nil, err
	}
	u := ent.On(tx).Product.UpdateOne(old).
		SetName(n.Name).SetUnitPrice(n.UnitPrice.Amount).SetCurrency(n.UnitPrice.Currency).
		SetActive(n.active()).ClearDeletedAt().AddVersion(1).SetUpdatedAt(postgres.Now())
	setStock(u, n.Stock)
	p, err := u.Save(ctx)
	if err != nil {
		return nil, fmt.Errorf("revive product %s: %w", n.SKU, err)
	}
	return p, nil
}

func skuTaken(sku string) error {
	return fault.New(fault.KindConflict, "sku-taken", "A product with the sku %s already exists.", sku)
}

// validateProduct returns all faults of new values that the schema does not describe; nil is no new
// value. A name must not have characters that nobody sees but that change how the name, or the text
// around it, is displayed to others (SPEC B1; CWE-1007). A price must be in a currency that can be paid in (SPEC B21).
func validateProduct(name *string, price *money.Money) error {
	var wrong []fault.Field
	if name != nil {
		if r, found := printable.Hidden(*name); found {
			wrong = append(wrong, fault.Field{Pointer: "/name", Code: "invalid", Message: fmt.Sprintf("must not contain the invisible character %U", r)})
		}
	}
	if price != nil && !money.IsCurrency(price.Currency) {
		wrong = append(wrong, fault.Field{Pointer: "/unitPrice/currency", Code: "unknown-currency", Message: "is not the ISO 4217 code of a currency in use"})
	}
	if len(wrong) > 0 {
		return fault.Invalid(wrong...)
	}
	return nil
}
