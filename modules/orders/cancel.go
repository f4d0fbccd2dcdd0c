package orders

import (
	"context"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Cancel cancels an order and releases its stock in the same commit; a job voids its payment
// (SPEC C7). An order that is already cancelled is returned unchanged. ifMatch has the versions
// that the caller expects.
func (m *Module) Cancel(ctx context.Context, caller identity.Caller, id uuid.UUID, reason *string, ifMatch []int64, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return m.command(ctx, caller, id, ifMatch, key, func(ctx context.Context, u *unitOfWork, o *lockedOrder) error {
		return u.cancel(ctx, o, u.role(o), reason)
	})
}

func (u *unitOfWork) cancel(ctx context.Context, o *lockedOrder, role lifecycle.Role, reason *string) error {
	if o.Status == lifecycle.Cancelled {
		return nil
	}
	// Decide first, because a cancellation that is rejected must not change any stock.
	cancelled, err := o.Cancel(role, reason)
	if err != nil {
		return err
	}
	if err := u.releaseStock(ctx, u.orders); err != nil {
		return err
	}
	o.Record(cancelled)
	return nil
}
