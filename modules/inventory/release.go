package inventory

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Release releases the reservations of the orders and returns them by order and sku. A
// reservation is released exactly once, also with concurrent calls (SPEC B4); shipped units are
// not released. It makes one round trip and locks the products in sku order, so call it at most
// once in a transaction, and not together with Reserve or Ship.
func (m *Module) Release(ctx context.Context, tx pgx.Tx, orders []uuid.UUID) (
	released map[uuid.UUID]map[string]int64, err error,
) {
	released = map[uuid.UUID]map[string]int64{}
	if len(orders) == 0 {
		return released, nil
	}

	b := &pgx.Batch{}
	b.Queue(lockHeldSQL, orders)
	b.Queue(releaseSQL, orders, postgres.Now()).Query(func(rows pgx.Rows) error {
		var l line
		_, err := pgx.ForEachRow(rows, []any{&l.order, &l.sku, &l.quantity}, func() error {
			if released[l.order] == nil {
				released[l.order] = map[string]int64{}
			}
			released[l.order][l.sku] = l.quantity
			return nil
		})
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("release %d orders: %w", len(orders), err)
	}
	return released, nil
}

// The rows are sorted before they are locked, as PostgreSQL's plan has it.
const lockHeldSQL = `
	select sku from products
	where sku in (select sku from reservations where order_id = any($1) and state = 'held')
	order by sku for no key update`

// Only held rows change, under their product's lock, and the products get back
// exactly the rows that changed.
const releaseSQL = `
	with back as (
		update reservations set state = 'released', updated_at = $2
		where order_id = any($1) and state = 'held'
		returning order_id, sku, quantity
	), sums as (
		select sku, sum(quantity)::bigint as quantity from back group by sku
	), given as (
		update products p set reserved = p.reserved - sums.quantity from sums where p.sku = sums.sku
	)
	select order_id, sku, quantity from back`
