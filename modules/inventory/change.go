package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// change has the new values; nil leaves a value as it is. Stock has a second pointer, because
// nil is one of its values.
type change struct {
	name   *string
	price  *money.Money
	active *bool
	stock  **int64
}

// condition checks the version that the caller expects; it may be nil.
type condition func(version int64) error

// change changes a product that is not deleted. A change without effect is not written.
func (m *Module) change(ctx context.Context, by identity.Caller, sku string, meets condition, c change) (p *ent.Product, err error) {
	if err := validateProduct(c.name, c.price); err != nil {
		return nil, err
	}
	listed := false
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		p, listed, err = revise(ctx, tx, by.Actor(), sku, meets, c)
		return err
	})
	if listed || err != nil {
		m.published(err)
	}
	return p, err
}

// remove marks a product as deleted. Its row is kept for orders that have reserved units of it,
// and its movements for auditing.
func (m *Module) remove(ctx context.Context, sku string, meets condition) error {
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		old, err := lockLive(ctx, tx, sku)
		if err != nil {
			return err
		}
		if err := meets(old.Version); err != nil {
			return err
		}
		at := postgres.Now()
		err = ent.On(tx).Product.UpdateOne(old).SetDeletedAt(at).SetUpdatedAt(at).AddVersion(1).Exec(ctx)
		if err != nil {
			return fmt.Errorf("delete product %s: %w", sku, err)
		}
		if err := recordProduct(ctx, tx, auditProductDeleted, old, nil); err != nil {
			return err
		}
		return bump(ctx, tx)
	})
	m.published(err)
	return err
}

// revise reports whether it changed a value that belongs to the catalogue's version.
func revise(ctx context.Context, tx pgx.Tx, by identity.Actor, sku string, meets condition, c change) (p *ent.Product, listed bool, err error) {
	old, err := lockLive(ctx, tx, sku)
	if err != nil {
		return nil, false, err
	}
	if err := meets(old.Version); err != nil {
		return nil, false, err
	}

	u := ent.On(tx).Product.UpdateOne(old)
	listed = c.list(u, old)
	counted := c.stock != nil && !same(*c.stock, old.Stock)
	if counted {
		if err := covers(*c.stock, old.Reserved); err != nil {
			return nil, false, err
		}
		setStock(u, *c.stock)
	}
	if !listed && !counted {
		return old, false, nil
	}

	p, err = u.AddVersion(1).SetUpdatedAt(postgres.Now()).Save(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("change product %s: %w", sku, err)
	}
	if err := recordChange(ctx, tx, p, old.Stock, "edited", by); err != nil {
		return nil, false, err
	}
	if err := recordProduct(ctx, tx, auditProductUpdated, old, p); err != nil {
		return nil, false, err
	}
	if listed {
		err = bump(ctx, tx)
	}
	return p, listed, err
}

// list sets the values that belong to the catalogue's version, and reports whether any differs.
func (c change) list(u *ent.ProductUpdateOne, old *ent.Product) (differs bool) {
	if c.name != nil && *c.name != old.Name {
		u.SetName(*c.name)
		differs = true
	}
	if c.price != nil && *c.price != priceOf(old) {
		u.SetUnitPrice(c.price.Amount).SetCurrency(c.price.Currency)
		differs = true
	}
	if c.active != nil && *c.active != old.Active {
		u.SetActive(*c.active)
		differs = true
	}
	return differs
}

func priceOf(p *ent.Product) money.Money {
	return money.Money{Amount: p.UnitPrice, Currency: p.Currency}
}

func setStock(u *ent.ProductUpdateOne, stock *int64) {
	if stock == nil {
		u.ClearStock()
	} else {
		u.SetStock(*stock)
	}
}

func same(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }

// covers rejects a stock below the reserved units (SPEC B5).
func covers(stock *int64, reserved int64) error {
	if stock == nil || *stock >= reserved {
		return nil
	}
	return fault.New(fault.KindConflict, "below-reserved", "Orders have reserved %d units; the stock cannot be lower.", reserved).
		With("reserved", reserved)
}
