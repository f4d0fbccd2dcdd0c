package orders

import (
	"context"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Budget limits the orders that an account places, whether one by one or in bulk (SPEC F13).
type Budget interface {
	// Take takes a number of orders from the budget of an account, or nothing and returns a fault.
	// giveBack returns them for a request that repeats another one.
	Take(ctx context.Context, account uuid.UUID, orders int) (giveBack func(context.Context), err error)
}

// withinBudget takes the orders of a request from the budget of the caller and runs place. A request
// that was placed before costs nothing, and it gets its stored response even if the budget is used
// up. A request whose orders are rejected costs as much as one whose orders are placed, because
// validating them is a large part of the work.
func withinBudget[T any](ctx context.Context, m *Module, caller identity.Caller, orders int, key idempotency.Key[T], place func() (idempotency.Result[T], error)) (idempotency.Result[T], error) {
	if m.Budget == nil {
		return place()
	}
	giveBack, err := m.Budget.Take(ctx, caller.UserID, orders)
	if err != nil {
		return replayOr(ctx, m, key, err)
	}
	result, err := place()
	refused, isFault := fault.As(err)
	if result.Replayed || isFault && refused.Replayed || fault.Is(err, "idempotency-key-in-use") {
		giveBack(ctx)
	}
	return result, err
}

// replayOr returns the stored response of the key, or the rejection if there is none. A
// repeated request gets the first response even if it would be rejected by now.
func replayOr[T any](ctx context.Context, m *Module, key idempotency.Key[T], rejection error) (idempotency.Result[T], error) {
	if _, isFault := fault.As(rejection); !isFault || !key.Given() {
		return idempotency.Result[T]{}, rejection
	}
	stored, found, err := idempotency.Find(ctx, m.Pool, key)
	if err == nil && !found {
		err = rejection
	}
	return stored, err
}
