package orders

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// History returns an order's events, first to last.
func (m *Module) History(ctx context.Context, caller identity.Caller, id uuid.UUID) ([]events.Event, error) {
	if err := m.Visible(ctx, caller, id); err != nil {
		return nil, err
	}
	return m.Events.History(ctx, id)
}

// List returns a page of orders, newest first, and whether more follow. Ids increase with time
// and never change, so paging by the last id returns each order once, even if orders are placed
// meanwhile (SPEC C5).
func (m *Module) List(ctx context.Context, caller identity.Caller, f Filter) (page []Order, more bool, err error) {
	if f.UserID, err = whose(caller, f.UserID); err != nil {
		return nil, false, err
	}
	find := m.find
	if f.Words != "" {
		find = m.search
	}
	err = m.consistently(ctx, func(q postgres.Querier) error {
		list, err := find(ctx, q, f)
		if err != nil {
			return err
		}
		if more = len(list) > f.Limit; more {
			list = list[:f.Limit]
		}
		page = make([]Order, len(list))
		for i, o := range list {
			page[i] = m.render(o, caller)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("list orders: %w", err)
	}
	return page, more, nil
}

// consistently runs a read of several statements. Reads rarely meet a change, so the first try
// takes no snapshot. When an order changed during it, the second try reads everything in one
// snapshot: the ETag of an order covers its lines and steps.
func (m *Module) consistently(ctx context.Context, read func(q postgres.Querier) error) error {
	err := read(m.Pool)
	if !errors.Is(err, storage.ErrChanged) {
		return err
	}
	return pgx.BeginTxFunc(ctx, m.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return read(tx)
	})
}

// find reads one order more than the limit.
func (m *Module) find(ctx context.Context, q postgres.Querier, f Filter) ([]storage.Full, error) {
	page := storage.Page{Limit: f.Limit + 1}
	args := []any{page.Limit} // $1 is the limit
	page.Parts = ranges(f, &args)
	page.Args = args[1:]
	return page.Read(ctx, q)
}
