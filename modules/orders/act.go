package orders

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// command runs do once per key on an order that the caller may see, and returns the order.
// The checks and writes are one transaction that holds the order's lock (SPEC C9). ifMatch is
// the versions that the caller expects.
func (m *Module) command(ctx context.Context, caller identity.Caller, id uuid.UUID, ifMatch []int64, key idempotency.Key[Order], do func(ctx context.Context, u *unitOfWork, o *lockedOrder) error) (idempotency.Result[Order], error) {
	key.Still = stillVisible(caller, id, false, m.actionsOf(caller))
	return answer(ctx, m, caller, id, ifMatch, key, func(ctx context.Context, u *unitOfWork, o *lockedOrder) (Order, error) {
		if err := do(ctx, u, o); err != nil {
			return Order{}, err
		}
		return u.render(o), nil
	})
}

// answer is command for use cases that return something other than the order.
func answer[T any](ctx context.Context, m *Module, caller identity.Caller, id uuid.UUID, ifMatch []int64, key idempotency.Key[T], do func(ctx context.Context, u *unitOfWork, o *lockedOrder) (T, error)) (idempotency.Result[T], error) {
	return answerDeleted(ctx, m, caller, id, key, func(ctx context.Context, u *unitOfWork, o *lockedOrder) (none T, err error) {
		if o.Deleted {
			return none, fault.NotFound("order")
		}
		if ifMatch != nil && !slices.Contains(ifMatch, o.Version) {
			return none, stale(o.Version)
		}
		return do(ctx, u, o)
	})
}

// answerDeleted is answer for deleted orders as well. key.Still decides whether a stored
// response may be returned (stillVisible).
func answerDeleted[T any](ctx context.Context, m *Module, caller identity.Caller, id uuid.UUID, key idempotency.Key[T], do func(ctx context.Context, u *unitOfWork, o *lockedOrder) (T, error)) (idempotency.Result[T], error) {
	var changed []*lockedOrder
	result, err := idempotency.Do(ctx, m.InFlight, m.Pool, key, func(tx pgx.Tx) (out T, err error) {
		changed = nil
		u, o, err := m.openFor(ctx, tx, caller, id)
		if err != nil {
			return out, err
		}
		if out, err = do(ctx, u, o); err != nil {
			return out, refusal(err)
		}
		changed, err = u.write(ctx)
		return out, err
	})
	if err == nil && !result.Replayed {
		m.announce(changed)
	}
	return result, err
}

// openFor locks one order for a caller. An order that the caller may not see is not found.
func (m *Module) openFor(ctx context.Context, tx pgx.Tx, caller identity.Caller, id uuid.UUID) (*unitOfWork, *lockedOrder, error) {
	u, err := m.open(ctx, tx, []uuid.UUID{id}, caller.Actor())
	if err != nil {
		return nil, nil, err
	}
	u.caller = caller
	if len(u.orders) == 0 || roleOf(u.orders[0].row, caller) == 0 {
		return nil, nil, fault.NotFound("order")
	}
	return u, u.orders[0], nil
}

// role returns the roles in which the caller may change an order.
func (u *unitOfWork) role(o *lockedOrder) lifecycle.Role { return u.m.mayDo(o.row, u.caller) }

// render returns the order after the command, as the caller may see it.
func (u *unitOfWork) render(o *lockedOrder) Order { return u.m.render(o.current(), u.caller) }

// refusal converts the aggregate's errors to faults (SPEC C9).
func refusal(err error) error {
	if illegal, ok := errors.AsType[*lifecycle.IllegalTransition](err); ok {
		allowed := illegal.Allowed
		if allowed == nil {
			allowed = []lifecycle.Status{}
		}
		f := fault.New(fault.KindConflict, "illegal-transition", "An order that is %s cannot become %s.", illegal.From, illegal.To).
			With("from", illegal.From).With("to", illegal.To).With("allowed", allowed)
		if illegal.From.Meaning().Final {
			return f.WithFinal()
		}
		return f
	}
	if unsettled, ok := errors.AsType[*lifecycle.PaymentUnsettled](err); ok {
		return fault.New(fault.KindConflict, "payment-unsettled", "The previous payment attempt is not settled yet; try again shortly.").
			With("paymentStatus", unsettled.Status)
	}
	return err
}

func stale(version int64) error {
	return fault.New(fault.KindPreconditionFailed, "stale", "The order has changed; its version is %d.", version).
		With("version", version)
}

// Visible returns the fault of an order that the caller may not see.
func (m *Module) Visible(ctx context.Context, caller identity.Caller, id uuid.UUID) error {
	row, err := db(m.Pool).Order.Get(ctx, id)
	if ent.IsNotFound(err) || err == nil && !visible(row, caller) {
		return fault.NotFound("order")
	}
	if err != nil {
		return fmt.Errorf("get order %s: %w", id, err)
	}
	return nil
}
