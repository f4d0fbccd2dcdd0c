package inventory

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Demo is a product of the demo catalogue.
var Demo = []ProductRequest{
	demo("BEANS-ESPRESSO-1KG", "Espresso beans, 1 kg", 2490, 240),
	demo("BEANS-FILTER-250G", "Filter beans, washed, 250 g", 1150, 400),
	demo("FILTERS-V60-100", "Paper filters for V60, 100 pieces", 590, 1200),
	demo("GRINDER-HAND-01", "Hand grinder, steel burrs", 8900, 35),
	demo("KETTLE-GOOSENECK", "Gooseneck kettle, 0.9 l", 6450, 18),
	demo("MACHINE-LEVER-PRO", "Lever espresso machine", 124900, 3),
	demo("SCALE-TIMER", "Scale with timer, 0.1 g", 4290, 60),
	demo("VOUCHER-TASTING", "Tasting for two, voucher", 5900, untracked),
}

const untracked = -1

func demo(sku, name string, cents, stock int64) ProductRequest {
	i := ProductRequest{SKU: sku, Name: name, UnitPrice: money.Money{Amount: cents, Currency: "EUR"}}
	if stock != untracked {
		i.Stock = &stock
	}
	return i
}

// Seed creates the items if there has never been a product, deleted ones
// included. Any number of nodes may call it at once: the first one does it.
func (m *Module) Seed(ctx context.Context, items []ProductRequest) error {
	seeded := false
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
		seeded, err = seed(ctx, tx, items)
		return err
	})
	if err != nil || !seeded {
		return err
	}
	m.published(nil)
	m.log.InfoContext(ctx, "demo products created", "count", len(items))
	return nil
}

// seed locks the catalogue row first, contrary to the module's order of locks. A deadlock with
// the creation of a first product is resolved by the retry of InTx.
func seed(ctx context.Context, tx pgx.Tx, items []ProductRequest) (bool, error) {
	if _, err := tx.Exec(ctx, `select from catalogue for update`); err != nil {
		return false, err
	}
	exists, err := ent.On(tx).Product.Query().Exist(ctx)
	if err != nil || exists {
		return false, err
	}
	for _, i := range items {
		if _, err := add(ctx, tx, identity.System, i); err != nil {
			return false, err
		}
	}
	return true, nil
}
