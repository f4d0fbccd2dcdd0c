package orders

import (
	"context"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Move is what an administrator wants an order to become.
type Move struct {
	Status   lifecycle.Status `json:"status" enum:"PENDING,CONFIRMED,PROCESSING,SHIPPED,COMPLETED,ON_HOLD,FAILED,CANCELLED"`
	Reason   *string          `json:"reason,omitzero" minLength:"1" maxLength:"500" doc:"Needed for ON_HOLD"`
	Tracking *string          `json:"tracking,omitzero" minLength:"1" maxLength:"200" doc:"The carrier's number; with SHIPPED and COMPLETED"`
}

// SetStatus makes the one move of the table that leads where an administrator
// wants the order: ship, complete, hold, release, reopen or cancel (SPEC C8).
func (m *Module) SetStatus(ctx context.Context, caller identity.Caller, id uuid.UUID, to Move, ifMatch *int64) (Order, error) {
	if to.Tracking != nil && to.Status != lifecycle.Shipped && to.Status != lifecycle.Completed {
		return Order{}, fault.Unprocessable(fault.Field{Pointer: "/tracking", Code: "not-allowed", Message: "goes with SHIPPED or COMPLETED"})
	}
	if to.Status == lifecycle.OnHold && to.Reason == nil {
		return Order{}, fault.Unprocessable(fault.Field{Pointer: "/reason", Code: "required", Message: "is required to put an order on hold"})
	}
	moved, err := m.act(ctx, caller, id, ifMatch, idempotency.Key[Order]{}, func(ctx context.Context, a *act) error {
		// As an administrator: what only the system or the owner may do is refused.
		a.who = lifecycle.Admin
		switch {
		case to.Status == lifecycle.Cancelled:
			return a.cancel(ctx, to.Reason)
		case to.Status == lifecycle.OnHold:
			return a.hold(to.Reason)
		case to.Status == lifecycle.Shipped || to.Status == lifecycle.Completed:
			return a.fulfil(ctx, to)
		case lifecycle.Status(a.c.row.Status) == lifecycle.OnHold:
			return a.release(to.Status)
		default:
			return a.reopen(to.Status)
		}
	})
	return moved.Value, err
}

// fulfil ships or completes: what the order holds leaves the shelf in the same
// commit, and its money is taken by a durable job.
func (a *act) fulfil(ctx context.Context, to Move) error {
	if err := a.check(to.Status); err != nil {
		return err
	}
	shipped, err := a.m.Stock.Ship(ctx, a.tx, a.caller.Actor(), []uuid.UUID{a.c.row.ID})
	if err != nil {
		return err
	}
	kind := typeShipped
	if to.Status == lifecycle.Completed {
		kind = typeCompleted
	}
	if to.Tracking != nil {
		a.c.row.Tracking = to.Tracking
	}
	return a.c.move(to.Status, a.who, kind, Data{Reason: to.Reason, Tracking: to.Tracking, Items: items(shipped[a.c.row.ID])})
}

// Hold stops an order until a person lets it go on. It keeps its stock and its
// authorisation (SPEC C8).
func (m *Module) Hold(ctx context.Context, caller identity.Caller, id uuid.UUID, reason string, ifMatch *int64, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return m.act(ctx, caller, id, ifMatch, key, func(_ context.Context, a *act) error { return a.hold(&reason) })
}

func (a *act) hold(reason *string) error {
	if err := a.check(lifecycle.OnHold); err != nil {
		return err
	}
	return a.c.move(lifecycle.OnHold, a.who, typeHeld, Data{Reason: reason})
}

// Release lets a held order go on where it was (SPEC C8).
func (m *Module) Release(ctx context.Context, caller identity.Caller, id uuid.UUID, ifMatch *int64, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return m.act(ctx, caller, id, ifMatch, key, func(_ context.Context, a *act) error {
		to := lifecycle.Status(deref(a.c.row.HeldFrom))
		if to == "" {
			to = lifecycle.Processing // not on hold, from where no person may: refused with what is allowed
		}
		return a.release(to)
	})
}

func (a *act) release(to lifecycle.Status) error {
	if err := a.check(to); err != nil {
		return err
	}
	return a.c.move(to, a.who, typeResumed, Data{})
}

// reopen begins a failed order anew: stock, payment and all. What the last try
// left under way must have come to its end.
func (a *act) reopen(to lifecycle.Status) error {
	if err := a.check(to); err != nil {
		return err
	}
	if !settled(a.c.row) {
		f := fault.New(fault.Conflict, "payment-unsettled", "The money of the last try is still under way; try again shortly.")
		return f.With("paymentStatus", a.c.row.PaymentStatus)
	}
	a.c.row.PaymentStatus = none
	a.c.resolve("retried", nil)
	return a.c.move(to, a.who, typeReopened, Data{Payment: payment(a.c.row, nil, "", "")})
}

// Delete takes an order out of sight; a live one is cancelled first (SPEC C8).
func (m *Module) Delete(ctx context.Context, caller identity.Caller, id uuid.UUID, ifMatch *int64) error {
	_, err := m.act(ctx, caller, id, ifMatch, idempotency.Key[Order]{}, func(ctx context.Context, a *act) error {
		if !over(a.c.row) {
			if err := a.cancel(ctx, new("deleted")); err != nil {
				return err
			}
		}
		a.c.row.DeletedAt = new(events.Now())
		return a.c.note(typeDeleted, Data{})
	})
	return err
}
