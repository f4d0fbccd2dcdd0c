package storage

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// DeadLetter is a job that ran out of attempts.
type DeadLetter struct {
	Order             uuid.UUID
	Job               int64
	Kind, Step, Error string
	Attempts          int
}

// InsertDeadLetter keeps a job until an administrator has dealt with it (SPEC D4).
func InsertDeadLetter(ctx context.Context, tx pgx.Tx, l DeadLetter) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into dead_letters (id, order_id, job_id, kind, step, error, attempts, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8)`,
		id, l.Order, l.Job, l.Kind, l.Step, l.Error, l.Attempts, events.Now())
	if err != nil {
		return fmt.Errorf("insert the dead letter of job %d: %w", l.Job, err)
	}
	return nil
}

// QueueResolution closes the dead letters of an order when the step that it had
// stalled at came to an end.
func QueueResolution(b *pgx.Batch, o *lifecycle.Order) {
	if o.Resolved == nil {
		return
	}
	b.Queue(`
		update dead_letters set resolved_at = $2, resolution = $3, resolved_by = $4, reason = $5
		where order_id = $1 and resolved_at is null`,
		o.ID, o.At(), o.Resolved.How, string(o.Actor()), o.Resolved.Reason)
}
