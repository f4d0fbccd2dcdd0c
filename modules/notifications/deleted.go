package notifications

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"orderflow/platform/events"
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

// withoutDeleted makes of a page of the log what may be read now. Who asks for a deleted
// order finds nothing, as everywhere; who resumes, and so has followed it, is told of its end.
// It asks after reading: what is deleted in between is seen.
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
