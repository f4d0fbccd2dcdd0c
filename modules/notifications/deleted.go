package notifications

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// Orders knows which orders were deleted. Their events stay in the log without the texts that
// people wrote.
type Orders interface {
	// Redact removes from the events what may no longer be read.
	Redact(ctx context.Context, list []events.Event) error
	// Deleted reports whether an order was deleted.
	Deleted(ctx context.Context, id uuid.UUID) (bool, error)
}

const kindDeleted = "order.deleted"

// withoutDeleted removes from a page of the log what may no longer be read. Without a cursor, a
// deleted order has no events, as the order is not found elsewhere; a client that resumes
// receives its deletion. The check comes after the read, so that it includes a deletion in
// between.
func (f *filter) withoutDeleted(ctx context.Context, page events.Page) (events.Page, error) {
	if f.orders == nil || len(page.Events) == 0 {
		return page, nil
	}
	if f.order == uuid.Nil {
		return page, f.orders.Redact(ctx, page.Events)
	}
	gone, err := f.orders.Deleted(ctx, f.order)
	if gone {
		page.Events = slices.DeleteFunc(page.Events, func(e events.Event) bool { return !f.resume || e.Type != kindDeleted })
	}
	return page, err
}
