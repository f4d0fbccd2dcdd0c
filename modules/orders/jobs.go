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
		return fmt.Errorf("end the processing of order %s: %w", job.Args.OrderID, err)
	}
	if dead {
		m.metrics.dead.Inc()
	}
	return nil
}

// exhaust applies the consequence of the last failed attempt to the order, which depends on the
// request that is due. It returns the step that failed, or "" if another worker has completed it.
func (u *unitOfWork) exhaust(ctx context.Context, attempts int, cause error) (step string, err error) {
	if len(u.orders) == 0 {
		return "", nil
	}
	o := u.orders[0]
	due := u.next(o)
	if failed, ok := errors.AsType[*unanswered](cause); ok && (due == nil || due.Key() != failed.request.Key()) {
		return "", nil // another worker received the response; the next request has not failed
	}
	meaning := o.Status.Meaning()
	switch {
	case meaning.Automatic && meaning.Stock != lifecycle.StockReserving:
		o.Record(o.Stall(lifecycle.StepProcess))
		return lifecycle.StepProcess, nil
	case due != nil:
		recorded, err := due.giveUp(ctx, u, o, attempts, cause)
		if err != nil || !recorded {
			return "", err
		}
		return due.Step(), nil
	case meaning.Stock == lifecycle.StockReserving:
		step = lifecycle.StepReserve
		if o.Reserved {
			step = lifecycle.StepProcess
		}
		return step, u.failUnconfirmed(ctx, o, step, "processing-failed", attempts)
	}
	return "", nil
}
