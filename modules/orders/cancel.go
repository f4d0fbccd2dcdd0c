package orders

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Cancel ends an order and gives its stock back in the same commit; its money is
// let go by a durable job (SPEC C7). An order that is cancelled already is
// answered as it is. ifMatch is the version that the caller has seen, or nil.
func (m *Module) Cancel(ctx context.Context, caller identity.Caller, id uuid.UUID, reason *string, ifMatch *int64, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return m.act(ctx, caller, id, ifMatch, key, func(ctx context.Context, a *act) error {
		return a.cancel(ctx, reason)
	})
}

func (a *act) cancel(ctx context.Context, reason *string) error {
	if lifecycle.Status(a.c.row.Status) == lifecycle.Cancelled {
		return nil
	}
	// Ask first: a refused cancel must not have touched any stock.
	if err := a.check(lifecycle.Cancelled); err != nil {
		return err
	}
	if err := a.m.giveBack(ctx, a.tx, a.w, a.w.rows); err != nil {
		return err
	}
	a.c.resolve("cancelled", reason)
	return a.c.move(lifecycle.Cancelled, a.who, typeCancelled, Data{Reason: reason})
}

// told turns the table's refusal into one that a caller may read (SPEC C9).
func told(err error) error {
	var illegal *lifecycle.IllegalTransition
	if !errors.As(err, &illegal) {
		return err
	}
	allowed := illegal.Allowed
	if allowed == nil {
		allowed = []lifecycle.Status{}
	}
	return fault.New(fault.Conflict, "illegal-transition", "An order that is %s cannot become %s.", illegal.From, illegal.To).
		With("from", illegal.From).With("to", illegal.To).With("allowed", allowed)
}
