package orders

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// reserve takes stock for the orders that have none yet. Those for which there is
// not enough fail, or wait for a person. First come, first served: ids rise with
// time, and the orders come by id.
func (u *unitOfWork) reserve(ctx context.Context) error {
	var (
		fresh      []*lockedOrder
		units      [][]lifecycle.StockItem // of each
		ids        []uuid.UUID
		skus       []string
		quantities []int64
	)
	for _, o := range u.orders {
		if !o.NeedsStock() {
			continue
		}
		items := sumBySKU(o.lines)
		fresh, units = append(fresh, o), append(units, items)
		for _, item := range items {
			ids, skus, quantities = append(ids, o.ID), append(skus, item.SKU), append(quantities, item.Quantity)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	short, err := u.m.Stock.Reserve(ctx, u.tx, ids, skus, quantities)
	if err != nil {
		return err
	}
	for i, o := range fresh {
		if err := u.reserved(o, units[i], short[o.ID]); err != nil {
			return err
		}
	}
	return nil
}

// reserved records the reservation or the shortage of an order. With the reservation the order
// gets the list of added steps that is configured now.
func (u *unitOfWork) reserved(o *lockedOrder, items []lifecycle.StockItem, short []string) error {
	if len(short) > 0 {
		return o.record(o.RefuseForShortage(short))
	}
	o.Record(o.Reserve(items, u.m.stepNames()))
	o.StartPaymentPeriod(u.m.ReservationTTL)
	return nil
}

// releaseStock gives back what orders hold, and records it where they held anything.
func (u *unitOfWork) releaseStock(ctx context.Context, list []*lockedOrder) error {
	if len(list) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(list))
	for i, o := range list {
		ids[i] = o.ID
	}
	released, err := u.m.Stock.Release(ctx, u.tx, ids)
	if err != nil {
		return err
	}
	for _, o := range list {
		if units := released[o.ID]; len(units) > 0 {
			o.Record(o.ReleaseStock(stockItems(units)))
		}
	}
	return nil
}

// sumBySKU adds up the lines of each sku, in the order of the skus (SPEC B2).
func sumBySKU(lines []Line) []lifecycle.StockItem {
	units := make(map[string]int64, len(lines))
	for _, l := range lines {
		units[l.SKU] += l.Quantity
	}
	return stockItems(units)
}

func stockItems(units map[string]int64) []lifecycle.StockItem {
	list := make([]lifecycle.StockItem, 0, len(units))
	for _, sku := range slices.Sorted(maps.Keys(units)) {
		list = append(list, lifecycle.StockItem{SKU: sku, Quantity: units[sku]})
	}
	return list
}
