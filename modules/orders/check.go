package orders

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// checkRequest asks an added step for its verdict about an order.
type checkRequest struct {
	StepRequest
	check   func(context.Context, StepRequest) (Verdict, error) // nil: this node has no such step
	verdict Verdict
}

// check makes the request of a step.
func (u *unitOfWork) check(o *lockedOrder, name string) request {
	r := &checkRequest{StepRequest: StepRequest{
		Step: name, Key: fmt.Sprintf("%s:%d:%s", o.ID, o.Round, name), Round: int(o.Round),
		Order: snapshot(o.current()),
	}}
	if i := slices.IndexFunc(u.m.steps, func(s Step) bool { return s.Name == name }); i >= 0 {
		r.check = u.m.steps[i].Check
	}
	return r
}

// Step implements request.
func (r *checkRequest) Step() string { return r.StepRequest.Step }

// Key implements request.
func (r *checkRequest) Key() string { return r.StepRequest.Key }

// Do implements request. A step that this node does not know is an error, so that the order
// does not pass it in silence (SPEC D8). A panic of a step is an error of this order alone.
func (r *checkRequest) Do(ctx context.Context) (err error) {
	if r.check == nil {
		return fmt.Errorf("no step %q is configured; add it again, or skip it in the dead letters", r.Step())
	}
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("the step panicked: %v", why)
		}
	}()
	if r.verdict, err = r.check(ctx, r.StepRequest); err != nil {
		return err
	}
	return CheckVerdict(r.verdict)
}

// apply records the verdict unless the step has decided already, the order has left PENDING, or
// a new round has begun. A hold takes effect at once. A failure takes effect in a transaction of
// its own, because it returns stock: see failRejected (SPEC D9).
func (r *checkRequest) apply(_ *unitOfWork, o *lockedOrder) error {
	if o.NextStep() != r.Step() || int(o.Round) != r.Round {
		return nil
	}
	o.Record(o.RecordVerdict(r.Step(), r.verdict))
	if r.verdict.Kind != VerdictHold {
		return nil
	}
	return o.record(o.HoldForStep(r.Step(), r.verdict.Reason, false))
}

// giveUp holds the order, with its stock: from FAILED, another try would need a reopened order,
// new stock and a repetition of the steps before (SPEC D10).
func (r *checkRequest) giveUp(_ context.Context, _ *unitOfWork, o *lockedOrder, attempts int, _ error) (recorded bool, err error) {
	return true, o.record(o.HoldForStep(r.Step(), fmt.Sprintf("Processing failed after %d attempts.", attempts), true))
}

// CompleteStep records that a person decided to continue for the step that holds an order, and
// releases the order. A step that is passed already is answered as it is. Its faults are
// not-found for a step that the order does not have, and step-not-held.
func (m *Module) CompleteStep(ctx context.Context, caller identity.Caller, id uuid.UUID, step string, reason *string, ifMatch []int64, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return m.command(ctx, caller, id, ifMatch, key, func(ctx context.Context, u *unitOfWork, o *lockedOrder) error {
		return u.completeStep(ctx, o, step, reason)
	})
}

func (u *unitOfWork) completeStep(ctx context.Context, o *lockedOrder, name string, reason *string) error {
	step, found := o.Step(name)
	switch {
	case !found:
		return fault.NotFound("step")
	case step.Status == lifecycle.StepPassed, step.Status == lifecycle.StepSkipped:
		return nil
	case o.HoldingStep() != name:
		return fault.New(fault.KindConflict, "step-not-held", "The order is %s and the step %s; only a step that holds the order can be completed.", o.Status, step.Status).
			With("status", o.Status).With("stepStatus", step.Status)
	}
	if err := u.recordStep(ctx, o.ID, name); err != nil {
		return err
	}
	return u.release(o, u.role(o), o.HeldFrom, reason)
}
