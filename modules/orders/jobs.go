package orders

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Workers registers what this module can work.
func (m *Module) Workers(w *river.Workers) {
	river.AddWorker(w, &processWorker{m: m})
}

type processWorker struct {
	river.WorkerDefaults[ProcessArgs]
	m *Module
}

// Work may run twice, late, or on two nodes at once: Advance locks the order and
// looks where it stands.
func (w *processWorker) Work(ctx context.Context, job *river.Job[ProcessArgs]) error {
	err := w.m.Advance(ctx, job.Args.OrderID)
	if err == nil {
		return nil
	}
	if queue.Stopping(ctx) {
		// The node is stopping. Another one goes on, and no attempt is counted (SPEC D5).
		return river.JobSnooze(0)
	}
	if wait, ok := queue.IsSnooze(err); ok {
		return river.JobSnooze(wait + rand.N(wait/2+1)) //nolint:gosec // jitter: they must not all come back at once
	}
	if later := queue.SnoozeIfUnavailable(err); !errors.Is(later, err) {
		return later
	}
	if job.Attempt < job.MaxAttempts && !queue.IsPermanent(err) {
		return err
	}

	if exhausted := w.m.exhaust(ctx, job, err); exhausted != nil {
		return errors.Join(err, exhausted)
	}
	return river.JobCancel(err)
}

// exhaust ends a job that ran out of attempts: an order that was not confirmed yet
// fails, with everything undone; a later one stalls where it is. There is a dead
// letter in either case (SPEC D4). It has its own deadline, since the job's may be
// what ran out.
func (m *Module) exhaust(ctx context.Context, job *river.Job[ProcessArgs], cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()

	dead := false
	err := m.withLocked(ctx, []uuid.UUID{job.Args.OrderID}, func(u *unitOfWork) error {
		dead = false
		step, err := u.exhaust(ctx, job.Attempt, cause)
		if err != nil || step == "" {
			return err
		}
		dead = true
		return storage.InsertDeadLetter(ctx, u.tx, storage.DeadLetter{
			Order: job.Args.OrderID, Job: job.ID, Kind: job.Kind, Step: step, Error: cause.Error(), Attempts: job.Attempt,
		})
	})
	if err != nil {
		return fmt.Errorf("give up order %s: %w", job.Args.OrderID, err)
	}
	if dead {
		m.metrics.dead.Inc()
	}
	return nil
}

// exhaust does to the unit's order what running out of attempts means for its
// status, and returns the step that gave up, "" when another worker has dealt with it.
func (u *unitOfWork) exhaust(ctx context.Context, attempts int, cause error) (step string, err error) {
	if len(u.orders) == 0 {
		return "", nil
	}
	o := u.orders[0]
	call := u.nextCall(o)
	if failed, ok := errors.AsType[*unanswered](cause); ok && (call == nil || call.Key() != failed.call.Key()) {
		return "", nil // another worker had the answer; the next call has failed nobody yet
	}
	meaning := o.Status.Meaning()
	switch {
	case meaning.Stock == lifecycle.StockReserving:
		return u.failUnconfirmed(ctx, o, call, attempts)
	case meaning.Automatic:
		o.Record(o.Stall(lifecycle.StepProcess))
		return lifecycle.StepProcess, nil
	case call == nil:
		return "", nil
	}
	return u.stallSettlement(o, call, cause)
}

// failUnconfirmed fails an order that was not confirmed yet and undoes what was done for it.
func (u *unitOfWork) failUnconfirmed(ctx context.Context, o *lockedOrder, call settlement.Call, attempts int) (step string, err error) {
	failure := lifecycle.Failure{
		Code: "processing-failed", Detail: fmt.Sprintf("Gave up after %d tries; an administrator has been told.", attempts),
	}
	switch {
	case call != nil:
		step, failure.Code = call.Step(), "payment-failed"
	case o.Reserved:
		step = lifecycle.StepProcess
	default:
		step = lifecycle.StepReserve
	}
	if err := u.releaseStock(ctx, u.orders); err != nil {
		return "", err
	}
	return step, o.record(o.Fail(failure, step))
}

// stallSettlement leaves the order as it is until an administrator decides about
// the call. A refund fails; another pending refund is still made.
func (u *unitOfWork) stallSettlement(o *lockedOrder, call settlement.Call, cause error) (step string, err error) {
	o.Unschedule()
	stalledAt := o.Stalled
	change, err := u.settle(o, settlement.Exhausted{Call: call, Cause: cause})
	if err != nil {
		return "", err
	}
	if change.Outcome == settlement.None && stalledAt == call.Step() {
		return "", nil // another job of the order has recorded it already
	}
	if call.Step() == lifecycle.StepRefund && u.nextCall(o) != nil {
		o.Schedule()
	}
	o.Record(o.Stall(call.Step()))
	return call.Step(), nil
}
