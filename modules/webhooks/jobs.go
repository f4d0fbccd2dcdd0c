package webhooks

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Workers registers the workers of this module's jobs.
func (m *Module) Workers(w *river.Workers) {
	river.AddWorker(w, &deliverWorker{m: m})
	river.AddWorker(w, &replayWorker{m: m})
	river.AddWorker(w, &backlogWorker{m: m})
}

// DeliverArgs are the arguments of a job that makes one attempt of a delivery.
type DeliverArgs struct {
	DeliveryID uuid.UUID `json:"deliveryId"`
	// The endpoint and its owner, so that their limits can be checked before the delivery is
	// read. Jobs of earlier versions have no owner.
	WebhookID uuid.UUID `json:"webhookId"`
	OwnerID   uuid.UUID `json:"ownerId,omitzero"`
}

// Kind is stored with every job and must never change.
func (DeliverArgs) Kind() string { return deliverKind }

const deliverKind = "webhook_deliver"

type deliverWorker struct {
	river.WorkerDefaults[DeliverArgs]
	m *Module
}

// Work is safe to run twice, late, or on two nodes at once: only the worker that claims the
// delivery's row sends it. A delivery that is not due or no longer pending is not sent.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[DeliverArgs]) error {
	owner := job.Args.OwnerID
	if owner == uuid.Nil {
		var err error
		if owner, err = w.m.ownerOf(ctx, job.Args.WebhookID); err != nil {
			return err
		}
	}
	leave, wait, err := w.m.shares.enter(owner, job.Args.WebhookID)
	if err != nil {
		return river.JobSnooze(wait)
	}
	defer leave()

	err = w.m.attempt(ctx, job)
	if errors.Is(err, errSettled) {
		return nil
	}
	if queue.Stopping(ctx) && err != nil {
		return river.JobSnooze(0) // another node continues, and no attempt is counted (SPEC D5)
	}
	return err
}

// ReplayArgs are the arguments of a job that continues a replay.
type ReplayArgs struct {
	ReplayID uuid.UUID `json:"replayId"`
}

// Kind is stored with every job and must never change.
func (ReplayArgs) Kind() string { return replayKind }

const replayKind = "webhook_replay"

type replayWorker struct {
	river.WorkerDefaults[ReplayArgs]
	m *Module
}

// Work sends one slice and snoozes until the next one. The replay's row stores the progress,
// so a job is safe to run twice or late.
func (w *replayWorker) Work(ctx context.Context, job *river.Job[ReplayArgs]) error {
	wait, err := w.m.sendSlice(ctx, job.Args.ReplayID)
	switch {
	case queue.Stopping(ctx) && err != nil:
		return river.JobSnooze(0)
	case err != nil:
		return fmt.Errorf("replay %s: %w", job.Args.ReplayID, err)
	case wait > 0:
		return river.JobSnooze(wait)
	}
	return nil
}
