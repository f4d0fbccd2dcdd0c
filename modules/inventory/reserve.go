package inventory

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// line is the demand of one order for one sku.
type line struct {
	order    uuid.UUID
	sku      string
	quantity int64
}

// shelf has the remaining units of each locked product while a batch is processed; products
// that are not tracked are unlimited.
type shelf map[string]int64

const endless = math.MaxInt64

// Reserve reserves stock for many orders, all or nothing for each, in the given order.
// orders[i] needs quantities[i] of skus[i]; there is one entry per order and sku. For each
// order that got nothing it returns the missing skus, sorted.
//
// It is idempotent: units that an order has reserved or shipped are not reserved again;
// released units (of a reopened order) are. Inactive and deleted products can be reserved,
// because the order was accepted before. Products that are not tracked never run short, but
// their reserved units are counted, so that tracking can begin later.
//
// It makes two round trips for any number of orders. The products stay locked until the
// transaction ends; a second Reserve, Release or Ship in the same transaction could deadlock
// (SPEC B3).
func (m *Module) Reserve(ctx context.Context, tx pgx.Tx, orders []uuid.UUID, skus []string, quantities []int64) (
	short map[uuid.UUID][]string, err error,
) {
	if len(orders) != len(skus) || len(orders) != len(quantities) {
		return nil, fmt.Errorf("reserve: %d orders, %d skus, %d quantities", len(orders), len(skus), len(quantities))
	}
	if len(orders) == 0 {
		return map[uuid.UUID][]string{}, nil
	}

	left, has, err := lockShelf(ctx, tx, orders, skus)
	if err != nil {
		return nil, fmt.Errorf("lock products to reserve: %w", err)
	}

	var sequence []uuid.UUID
	wanted := map[uuid.UUID][]line{}
	for i, order := range orders {
		if _, seen := wanted[order]; !seen {
			sequence = append(sequence, order)
			wanted[order] = nil
		}
		l := line{order, skus[i], quantities[i]}
		if !has[line{order: order, sku: l.sku}] {
			wanted[order] = append(wanted[order], l)
		}
	}

	taken, short := left.serve(sequence, wanted)
	if err := writeReservations(ctx, tx, taken); err != nil {
		return nil, fmt.Errorf("reserve for %d orders: %w", len(sequence), err)
	}
	return short, nil
}

// serve decides in order, first come, first served, and reduces the shelf.
func (s shelf) serve(sequence []uuid.UUID, wanted map[uuid.UUID][]line) (taken []line, short map[uuid.UUID][]string) {
	short = map[uuid.UUID][]string{}
	for _, order := range sequence {
		var missing []string
		for _, l := range wanted[order] {
			if left, here := s[l.sku]; !here || left < l.quantity {
				missing = append(missing, l.sku)
			}
		}
		if len(missing) > 0 {
			slices.Sort(missing)
			short[order] = missing
			continue
		}

		taken = append(taken, wanted[order]...)
		for _, l := range wanted[order] {
			if s[l.sku] != endless {
				s[l.sku] -= l.quantity
			}
		}
	}
	return taken, short
}

// lockShelf locks the products and then reads the reservations of the orders, which only change
// under the lock of their product.
func lockShelf(ctx context.Context, tx pgx.Tx, orders []uuid.UUID, skus []string) (shelf, map[line]bool, error) {
	left, has := make(shelf, len(skus)), map[line]bool{}
	b := &pgx.Batch{}
	b.Queue(`select sku, available from products where sku = any($1) order by sku for no key update`, skus).Query(func(rows pgx.Rows) error {
		var sku string
		var available *int64
		_, err := pgx.ForEachRow(rows, []any{&sku, &available}, func() error {
			left[sku] = endless
			if available != nil {
				left[sku] = *available
			}
			return nil
		})
		return err
	})
	b.Queue(`select order_id, sku from reservations where order_id = any($1) and state <> 'released'`, orders).Query(func(rows pgx.Rows) error {
		var l line
		_, err := pgx.ForEachRow(rows, []any{&l.order, &l.sku}, func() error {
			has[l] = true
			return nil
		})
		return err
	})
	return left, has, tx.SendBatch(ctx, b).Close()
}

// One statement, so that the products' counters match the written rows exactly.
const reserveSQL = `
	with taken as (
		insert into reservations as r (order_id, sku, quantity, created_at, updated_at)
		select o, s, q, $4, $4 from unnest($1::uuid[], $2::text[], $3::bigint[]) as wanted (o, s, q)
		on conflict (order_id, sku) do update
			set state = 'held', quantity = excluded.quantity, updated_at = excluded.updated_at
			where r.state = 'released'
		returning r.sku, r.quantity
	), sums as (
		select sku, sum(quantity)::bigint as quantity from taken group by sku
	)
	update products p set reserved = p.reserved + sums.quantity from sums where p.sku = sums.sku`

func writeReservations(ctx context.Context, tx pgx.Tx, taken []line) error {
	if len(taken) == 0 {
		return nil
	}
	n := len(taken)
	orders, skus, quantities := make([]uuid.UUID, n), make([]string, n), make([]int64, n)
	for i, l := range taken {
		orders[i], skus[i], quantities[i] = l.order, l.sku, l.quantity
	}
	_, err := tx.Exec(ctx, reserveSQL, orders, skus, quantities, postgres.Now())
	return err
}
