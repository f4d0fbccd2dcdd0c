package notifications

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// Orders knows which orders were deleted. Their events stay in the log, for those who
// follow it, without what people wrote.
type Orders interface {
	// Redact takes out of the events what may not be read any more.
	Redact(ctx context.Context, list []events.Event) error
	// Deleted tells whether an order is gone.
	Deleted(ctx context.Context, id uuid.UUID) (bool, error)
}

const kindDeleted = "order.deleted"

// withoutDeleted removes from a page of the log what may not be read any more. A fresh read
// of a deleted order is empty, as the order is a 404 elsewhere; a client that resumes, and
// so has followed the order, receives its deletion. The check follows the read, so that a
// deletion in between counts.
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
