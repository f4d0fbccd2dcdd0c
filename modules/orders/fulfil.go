package orders

import (
	"context"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// StatusChangeRequest is the body of a request to set an order's status.
type StatusChangeRequest struct {
	Status   lifecycle.Status `json:"status"`
	Reason   *string          `json:"reason,omitzero" minLength:"1" maxLength:"500" doc:"Required for ON_HOLD"`
	Tracking *string          `json:"tracking,omitzero" minLength:"1" maxLength:"200" doc:"The carrier's tracking number; only with SHIPPED and COMPLETED"`
}

// validate returns all faults that the schema does not describe. Those of a status that the schema
// refuses are not known.
func (c StatusChangeRequest) validate() error {
	var wrong []fault.Field
	if c.Tracking != nil && c.Status != "" && c.Status != lifecycle.Shipped && c.Status != lifecycle.Completed {
		wrong = append(wrong, fault.Field{Pointer: "/tracking", Code: "not-allowed", Message: "is only allowed with SHIPPED or COMPLETED"})
	}
	if c.Status == lifecycle.OnHold && c.Reason == nil {
		wrong = append(wrong, fault.Field{Pointer: "/reason", Code: "required", Message: "is required to put an order on hold"})
	}
	if len(wrong) > 0 {
		return fault.Invalid(wrong...)
	}
	return nil
}

// SetStatus makes the transition to the requested status: ship, complete, hold, release, reopen
// or cancel (SPEC C8).
func (m *Module) SetStatus(ctx context.Context, caller identity.Caller, id uuid.UUID, to StatusChangeRequest, ifMatch []int64) (Order, error) {
	if err := to.validate(); err != nil {
		return Order{}, err
	}
	moved, err := m.command(ctx, caller, id, ifMatch, idempotency.Key[Order]{}, func(ctx context.Context, u *unitOfWork, o *lockedOrder) error {
		return u.moveTo(ctx, o, to)
	})
	return moved.Value, err
}

// moveTo acts as an administrator: transitions of the system or the owner are rejected.
func (u *unitOfWork) moveTo(ctx context.Context, o *lockedOrder, to StatusChangeRequest) error {
	switch {
	case to.Status == lifecycle.Cancelled:
		return u.cancel(ctx, o, lifecycle.Admin, to.Reason)
	case to.Status == lifecycle.OnHold:
		return o.record(o.Hold(lifecycle.Admin, to.Reason))
	case to.Status == lifecycle.Shipped || to.Status == lifecycle.Completed:
		return u.fulfil(ctx, o, to)
	case o.Status == lifecycle.OnHold:
		return u.release(o, lifecycle.Admin, to.Status, nil)
	case to.Status.Meaning().Entered != "":
		return o.record(o.Enter(lifecycle.Admin, to.Status, to.Reason))
	default:
		return o.record(o.Reopen(lifecycle.Admin, to.Status, o.Outstanding()))
	}
}

// fulfil ships or completes an order: its reserved stock is consumed in the same commit, and a
// job captures its payment.
func (u *unitOfWork) fulfil(ctx context.Context, o *lockedOrder, to StatusChangeRequest) error {
	// Check first, because a shipment that is rejected must not change any stock.
	if err := lifecycle.Check(o.State, to.Status, lifecycle.Admin); err != nil {
		return err
	}
	shipped, err := u.m.Stock.Ship(ctx, u.tx, u.caller.Actor(), []uuid.UUID{o.ID})
	if err != nil {
		return err
	}
	f := lifecycle.Fulfilment{Reason: to.Reason, Tracking: to.Tracking, Items: stockItems(shipped[o.ID])}
	if to.Status == lifecycle.Completed {
		return o.record(o.Complete(lifecycle.Admin, f))
	}
	return o.record(o.Ship(lifecycle.Admin, f))
}

// Hold puts an order on hold until it is released or cancelled. It keeps its stock and its
// authorization (SPEC C8).
func (m *Module) Hold(ctx context.Context, caller identity.Caller, id uuid.UUID, reason string, ifMatch []int64, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return m.command(ctx, caller, id, ifMatch, key, func(_ context.Context, u *unitOfWork, o *lockedOrder) error {
		return o.record(o.Hold(u.role(o), &reason))
	})
}

// Release returns an order on hold to the status before the hold (SPEC C8).
func (m *Module) Release(ctx context.Context, caller identity.Caller, id uuid.UUID, ifMatch []int64, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return m.command(ctx, caller, id, ifMatch, key, func(_ context.Context, u *unitOfWork, o *lockedOrder) error {
		to := o.HeldFrom
		if to == "" {
			to = lifecycle.Processing // the order is not on hold: rejected with the allowed statuses
		}
		return u.release(o, u.role(o), to, nil)
	})
}

// release lets a held order go on. An added step that holds the order is passed; otherwise it
// would hold the order again at once. A reservation gets its full time again.
func (u *unitOfWork) release(o *lockedOrder, role lifecycle.Role, to lifecycle.Status, reason *string) error {
	// Decide first: a refused release must not have changed a step.
	released, err := o.Release(role, to)
	if err != nil {
		return err
	}
	if step := o.HoldingStep(); step != "" {
		passed := lifecycle.Verdict{Kind: lifecycle.VerdictContinue}
		if reason != nil {
			passed.Reason = *reason
		}
		o.Record(o.RecordVerdict(step, passed))
	}
	o.Record(released)
	o.StartPaymentPeriod(u.m.ReservationTTL)
	return nil
}

// Delete hides an order from the API; an open order is cancelled first (SPEC C8).
func (m *Module) Delete(ctx context.Context, caller identity.Caller, id uuid.UUID, ifMatch []int64) error {
	_, err := m.command(ctx, caller, id, ifMatch, idempotency.Key[Order]{}, func(ctx context.Context, u *unitOfWork, o *lockedOrder) error {
		if !o.Status.Meaning().Closed {
			if err := u.cancel(ctx, o, u.role(o), new("deleted")); err != nil {
				return err
			}
		}
		o.Record(o.Delete())
		return nil
	})
	return err
}
