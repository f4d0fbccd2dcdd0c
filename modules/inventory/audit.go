package inventory

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/audit"
)

// The actions of this module in the audit trail.
var (
	productFields       = []string{"name", "unitPrice", "currency", "stock", "active"}
	auditProductCreated = audit.Action{Name: "product.created", Subject: "product", Fields: productFields, Doc: "A product was created."}
	auditProductUpdated = audit.Action{Name: "product.updated", Subject: "product", Fields: productFields, Doc: "A product changed; prices are in minor units."}
	auditProductDeleted = audit.Action{Name: "product.deleted", Subject: "product", Fields: productFields, Doc: "A product was deleted."}
	auditStockAdjusted  = audit.Action{
		Name: "stock.adjusted", Subject: "product", Fields: []string{"delta", "stock"},
		Doc: "The stock of a product was adjusted. The reason, which is free text, is in the product's adjustments.",
	}
)

// AuditActions returns the actions that this module records.
func (*Module) AuditActions() []audit.Action {
	return []audit.Action{auditProductCreated, auditProductUpdated, auditProductDeleted, auditStockAdjusted}
}

// recordProduct records the change from old to p; one of them is nil for a new or deleted product.
func recordProduct(ctx context.Context, tx pgx.Tx, what audit.Action, old, p *ent.Product) error {
	e := audit.Entry{Action: what}
	for _, one := range []*ent.Product{old, p} {
		if one != nil {
			e.Subject = one.ID
		}
	}
	before, after := auditedFields(old), auditedFields(p)
	for i, field := range productFields {
		if before[i] != after[i] {
			e.Changes = append(e.Changes, audit.Change{Field: field, Before: before[i], After: after[i]})
		}
	}
	return audit.Record(ctx, tx, e)
}

// auditedFields returns the values of productFields.
func auditedFields(p *ent.Product) (values [5]any) {
	if p == nil {
		return values
	}
	values = [5]any{p.Name, p.UnitPrice, p.Currency, nil, p.Active}
	if p.Stock != nil {
		values[3] = *p.Stock
	}
	return values
}
