package orders

import (
	"context"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

type cancelOrderInput struct {
	OrderInput
	Conditional
	Body *CancelRequest
}

// CancelRequest is the body of a cancellation.
type CancelRequest struct {
	Reason *string `json:"reason,omitzero" maxLength:"500"`
}

func (m *Module) cancelOrder(ctx context.Context, in *cancelOrderInput, key idempotency.Key[Order]) (none idempotency.Result[Order], err error) {
	seen, err := in.seen()
	if err != nil {
		return none, err
	}
	return m.Cancel(ctx, identity.MustFromContext(ctx), in.ID, optional(in.Body).Reason, seen, key)
}

type setOrderStatusInput struct {
	OrderInput
	Conditional
	Body StatusChangeRequest
}

func (m *Module) setOrderStatus(ctx context.Context, in *setOrderStatusInput) (*web.Output[Order], error) {
	seen, err := in.seen()
	if err != nil {
		return nil, err
	}
	moved, err := m.SetStatus(ctx, identity.MustFromContext(ctx), in.ID, in.Body, seen)
	if err != nil {
		return nil, err
	}
	return orderChanged.Output(ctx, moved)
}

type holdOrderInput struct {
	OrderInput
	Conditional
	Body HoldRequest
}

// HoldRequest is the body of a request to hold an order.
type HoldRequest struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500"`
}

func (m *Module) holdOrder(ctx context.Context, in *holdOrderInput, key idempotency.Key[Order]) (none idempotency.Result[Order], err error) {
	seen, err := in.seen()
	if err != nil {
		return none, err
	}
	return m.Hold(ctx, identity.MustFromContext(ctx), in.ID, in.Body.Reason, seen, key)
}

type conditionalInput struct {
	OrderInput
	Conditional
}

func (m *Module) releaseOrder(ctx context.Context, in *conditionalInput, key idempotency.Key[Order]) (none idempotency.Result[Order], err error) {
	seen, err := in.seen()
	if err != nil {
		return none, err
	}
	return m.Release(ctx, identity.MustFromContext(ctx), in.ID, seen, key)
}

func (m *Module) deleteOrder(ctx context.Context, in *conditionalInput) (*struct{}, error) {
	seen, err := in.seen()
	if err != nil {
		return nil, err
	}
	return nil, m.Delete(ctx, identity.MustFromContext(ctx), in.ID, seen)
}
