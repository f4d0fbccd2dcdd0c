package orders

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// ProcessArgs name the order that a job moves on. There is one job for an
// order's whole way; the order's row is its checkpoint.
type ProcessArgs struct {
	OrderID uuid.UUID `json:"orderId"`
}

// Kind is stored with every job and must never change.
func (ProcessArgs) Kind() string { return processKind }

const processKind = "order_process"

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
		// The node is stopping. Another one goes on, and no try is counted (SPEC D5).
		return river.JobSnooze(0)
	}
	if wait, ok := queue.IsLater(err); ok {
		return river.JobSnooze(wait + rand.N(wait/2+1)) //nolint:gosec // jitter: they must not all come back at once
	}
	if later := queue.Patient(err); !errors.Is(later, err) {
		return later
	}
	if job.Attempt < job.MaxAttempts && !queue.IsPermanent(err) {
		return err
	}

	if giveUp := w.m.giveUp(ctx, job, err); giveUp != nil {
		return errors.Join(err, giveUp)
	}
	return river.JobCancel(err)
}

// giveUp ends what a job could not do: an order that was not confirmed yet FAILS,
// with everything undone; one that was stalls where it is. There is a dead letter
// in either case (SPEC D4). It has its own deadline, since the job's may be what
// ran out.
func (m *Module) giveUp(ctx context.Context, job *river.Job[ProcessArgs], cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()

	buried := false
	err := m.workOn(ctx, []uuid.UUID{job.Args.OrderID}, func(tx pgx.Tx, w *work) error {
		buried = false
		step, err := m.fail(ctx, tx, w, job.Attempt, cause)
		if err != nil || step == "" {
			return err
		}
		buried = true
		return bury(ctx, tx, job, step, cause)
	})
	if err != nil {
		return fmt.Errorf("give up order %s: %w", job.Args.OrderID, err)
	}
	if buried {
		m.metrics.dead.Inc()
	}
	return nil
}

// fail does to the order what giving up means where it stands, and names the step
// that was given up, "" when somebody else has dealt with it.
func (m *Module) fail(ctx context.Context, tx pgx.Tx, w *work, tries int, cause error) (step string, err error) {
	if len(w.rows) == 0 {
		return "", nil
	}
	row := w.rows[0]
	call := w.book.Next(row.ID, wanted(row))
	if failed, ok := errors.AsType[*unanswered](cause); ok && (call == nil || call.Key() != failed.call.Key()) {
		return "", nil // another worker had the answer; what is next has failed nobody yet
	}
	switch status := lifecycle.Status(row.Status); {
	case status == lifecycle.Pending:
		failure := Failure{Code: "processing-failed", Detail: fmt.Sprintf("Gave up after %d tries; an administrator has been told.", tries)}
		switch {
		case call != nil:
			step, failure.Code = call.Step(), "payment-failed"
		case row.ReservedUntil != nil:
			step = "process"
		default:
			step = "reserve"
		}
		if err := m.giveBack(ctx, tx, w, w.rows); err != nil {
			return "", err
		}
		return step, w.change(row).move(lifecycle.Failed, lifecycle.System, typeFailed, Data{Failure: &failure, Step: step})
	case status == lifecycle.Confirmed:
		return "process", w.change(row).note(typeStalled, Data{Cause: "out-of-tries", Step: "process"})
	case call == nil:
		return "", nil
	}

	c := w.change(row)
	c.row.DueAt = nil // until a person has decided
	event, amount, news := w.book.Fail(call, cause)
	if !news && deref(row.Stalled) == call.Step() {
		return "", nil // another job of the order's has told already
	}
	if news {
		if err := c.pay(w.book, event, amount, "", ""); err != nil {
			return "", err
		}
	}
	if w.book.Next(row.ID, wanted(row)) != nil && call.Step() == "refund" {
		c.owe() // another refund is still to be made
	}
	return call.Step(), c.note(typeStalled, Data{Cause: "out-of-tries", Step: call.Step()})
}

// bury keeps the job as a dead letter until a person has dealt with it.
func bury(ctx context.Context, tx pgx.Tx, job *river.Job[ProcessArgs], step string, cause error) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into dead_letters (id, order_id, job_id, kind, step, error, attempts, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8)`,
		id, job.Args.OrderID, job.ID, job.Kind, step, cause.Error(), job.Attempt, events.Now())
	if err != nil {
		return fmt.Errorf("bury job %d: %w", job.ID, err)
	}
	return nil
}
