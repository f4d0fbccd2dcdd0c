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

// line is what one order wants of one sku.
type line struct {
	order    uuid.UUID
	sku      string
	quantity int64
}

// shelf is what is left of each locked product while a batch is being decided.
// A product that is not tracked has no end.
type shelf map[string]int64

const endless = math.MaxInt64

// Reserve takes stock for many orders at once, all or nothing per order, in the
// order given. orders[i] wants quantities[i] of skus[i]; there is one entry per
// order and sku, its lines already summed. It returns, for each order that got
// nothing, the skus that were short, sorted; nothing is written for such an order.
//
// What an order holds already is not taken again, so running twice is harmless,
// nor is what has left with it; what it gave back (a reopened order) is. A product that is inactive or deleted
// by now can still be reserved: the order was accepted. Not tracked is never
// short, but counted, so that tracking can begin later.
//
// Two round trips, whatever the number of orders. The products stay locked, in
// sku order, until the transaction ends; a second Reserve, Release or Ship in the same
// transaction could dead-lock with its like (SPEC B3).
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

// serve decides greedily, first come, first served, and takes off the shelf.
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

// lockShelf locks the products and reads, behind the locks, what the orders hold
// or were sent: a reservation only changes under its product's lock.
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

// One statement, so that the products count exactly the rows that were written.
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
