package orders

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/order"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Get reads one order for a caller.
func (m *Module) Get(ctx context.Context, caller identity.Caller, id uuid.UUID) (Order, error) {
	row, err := m.read(ctx, caller, id)
	if err != nil {
		return Order{}, err
	}
	lines, err := storage.Lines(ctx, m.Pool, []*ent.Order{row})
	if err != nil {
		return Order{}, err
	}
	return render(row, lines[id], caller), nil
}

// History returns an order's events, first to last.
func (m *Module) History(ctx context.Context, caller identity.Caller, id uuid.UUID) ([]events.Event, error) {
	if _, err := m.read(ctx, caller, id); err != nil {
		return nil, err
	}
	return m.Events.History(ctx, id)
}

// read returns an order that the caller may see. Any other order is not found.
func (m *Module) read(ctx context.Context, caller identity.Caller, id uuid.UUID) (*ent.Order, error) {
	row, err := db(m.Pool).Order.Get(ctx, id)
	if ent.IsNotFound(err) || err == nil && !visible(row, caller) {
		return nil, fault.NotFound("order")
	}
	if err != nil {
		return nil, fmt.Errorf("get order %s: %w", id, err)
	}
	return row, nil
}

// List returns a page of orders, newest first, and whether more follow. Ids increase with time
// and never change, so paging by the last id returns each order once, even if orders are placed
// meanwhile (SPEC C5).
func (m *Module) List(ctx context.Context, caller identity.Caller, f Filter) (page []Order, more bool, err error) {
	if f.UserID, err = whose(caller, f.UserID); err != nil {
		return nil, false, err
	}
	find := m.find
	if len(searched(f.Words)) > 0 {
		find = m.search
	}
	rows, err := find(ctx, f)
	if err != nil {
		return nil, false, fmt.Errorf("list orders: %w", err)
	}
	if more = len(rows) > f.Limit; more {
		rows = rows[:f.Limit]
	}
	lines, err := storage.Lines(ctx, m.Pool, rows)
	if err != nil {
		return nil, false, err
	}
	page = make([]Order, len(rows))
	for i, row := range rows {
		page[i] = render(row, lines[row.ID], caller)
	}
	return page, more, nil
}

// find reads one row more than the limit. It reads a page of every requested status and merges
// them, so that every part is a range of one index without orders of other statuses (SPEC G2).
func (m *Module) find(ctx context.Context, f Filter) ([]*ent.Order, error) {
	var list []*ent.Order
	for _, s := range orEvery(f.Statuses) {
		fits := where(f)
		if s != "" {
			fits = append(fits, order.Status(string(s)))
		}
		part, err := db(m.Pool).Order.Query().Where(fits...).Order(order.ByID(sql.OrderDesc())).Limit(f.Limit + 1).All(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
	}
	slices.SortFunc(list, func(a, b *ent.Order) int { return bytes.Compare(b.ID[:], a.ID[:]) })
	return list[:min(len(list), f.Limit+1)], nil
}
