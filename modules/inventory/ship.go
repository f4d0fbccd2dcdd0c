package inventory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Ship subtracts the reserved units of the orders from the stock and from the reserved units.
// It returns them by order and sku and records a movement for each with by as the actor; for a
// product that is not tracked, only the reserved units decrease.
//
// A reservation is shipped exactly once, also with concurrent calls. Ship makes two round trips
// and locks the products in sku order, so call it at most once in a transaction, and not
// together with Reserve or Release.
//
// It increments the product's version like any adjustment, so that an administrator who counted
// the stock before the shipment gets 412 instead of overwriting it. For products that are not
// tracked nothing that can be edited changes, so their version stays.
func (m *Module) Ship(ctx context.Context, tx pgx.Tx, by identity.Actor, orders []uuid.UUID) (
	shipped map[uuid.UUID]map[string]int64, err error,
) {
	shipped = map[uuid.UUID]map[string]int64{}
	if len(orders) == 0 {
		return shipped, nil
	}
	parcels, stock, err := lockParcels(ctx, tx, orders)
	if err != nil {
		return nil, fmt.Errorf("lock what %d orders hold: %w", len(orders), err)
	}
	if len(parcels) == 0 {
		return shipped, nil
	}
	if err := writeShipment(ctx, tx, by, parcels, stock); err != nil {
		return nil, fmt.Errorf("ship %d orders: %w", len(orders), err)
	}

	for _, p := range parcels {
		if shipped[p.order] == nil {
			shipped[p.order] = map[string]int64{}
		}
		shipped[p.order][p.sku] = p.quantity
	}
	return shipped, nil
}

// lockParcels locks the products and then reads the orders' reservations and the stock, nil if
// it is not tracked. Reservations of further products that were made in between are ignored.
func lockParcels(ctx context.Context, tx pgx.Tx, orders []uuid.UUID) (parcels []line, stock map[string]*int64, err error) {
	stock = map[string]*int64{}
	b := &pgx.Batch{}
	b.Queue(`
		select sku, stock from products
		where sku in (select sku from reservations where order_id = any($1) and state = 'held')
		order by sku for no key update`, orders,
	).Query(func(rows pgx.Rows) error {
		var sku string
		var onHand *int64
		_, err := pgx.ForEachRow(rows, []any{&sku, &onHand}, func() error {
			stock[sku] = onHand
			return nil
		})
		return err
	})
	b.Queue(`select order_id, sku, quantity from reservations where order_id = any($1) and state = 'held'`, orders).Query(func(rows pgx.Rows) error {
		var l line
		_, err := pgx.ForEachRow(rows, []any{&l.order, &l.sku, &l.quantity}, func() error {
			if _, locked := stock[l.sku]; locked {
				parcels = append(parcels, l)
			}
			return nil
		})
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(parcels, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.sku, b.sku), slices.Compare(a.order[:], b.order[:]))
	})
	return parcels, stock, nil
}

// The reservations change under their products' locks, and the counters decrease by exactly the
// changed rows. The available units stay the same.
const shipSQL = `
	with gone as (
		update reservations r set state = 'shipped', updated_at = $3
		from unnest($1::uuid[], $2::text[]) as parcel (order_id, sku)
		where r.order_id = parcel.order_id and r.sku = parcel.sku and r.state = 'held'
		returning r.sku, r.quantity
	), sums as (
		select sku, sum(quantity)::bigint as quantity from gone group by sku
	)
	update products p
	set reserved = p.reserved - sums.quantity,
	    stock = p.stock - sums.quantity,
	    version = case when p.stock is null then p.version else p.version + 1 end,
	    updated_at = case when p.stock is null then p.updated_at else $3 end
	from sums where p.sku = sums.sku`

const moveManySQL = `
	insert into movements (id, sku, delta, stock, reason, actor, at)
	select id, sku, delta, stock, reason, $6, $7
	from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[]) as moved (id, sku, delta, stock, reason)`

func writeShipment(ctx context.Context, tx pgx.Tx, by identity.Actor, parcels []line, stock map[string]*int64) error {
	var (
		orders, ids  []uuid.UUID
		skus         []string
		moved        []string // the skus of the movements
		delta, after []int64
		reasons      []string
	)
	for _, p := range parcels {
		orders, skus = append(orders, p.order), append(skus, p.sku)
		left := stock[p.sku]
		if left == nil {
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		*left -= p.quantity
		ids, moved, delta, after = append(ids, id), append(moved, p.sku), append(delta, -p.quantity), append(after, *left)
		reasons = append(reasons, "shipped with order "+p.order.String())
	}

	at := postgres.Now()
	b := &pgx.Batch{}
	b.Queue(shipSQL, orders, skus, at)
	if len(ids) > 0 {
		b.Queue(moveManySQL, ids, moved, delta, after, reasons, string(by), at)
	}
	return tx.SendBatch(ctx, b).Close()
}
