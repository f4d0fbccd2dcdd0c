package orders

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

// DeadLetter is a job that failed for good and needs an administrator. It is kept after it is
// resolved (SPEC D4).
type DeadLetter struct {
	ID         uuid.UUID        `json:"id"`
	OrderID    uuid.UUID        `json:"orderId"`
	Status     lifecycle.Status `json:"orderStatus" doc:"The current status of the order"`
	Step       string           `json:"step" doc:"reserve, process, authorize, capture, void, refund, or the name of an added step"`
	Error      string           `json:"error" doc:"The error of the last attempt"`
	Attempts   int              `json:"attempts"`
	CreatedAt  jsontime.Time    `json:"createdAt"`
	ResolvedAt *jsontime.Time   `json:"resolvedAt"`
	Resolution *string          `json:"resolution" doc:"How it was resolved: retried, skipped, cancelled, or superseded by a later success of the step"`
	ResolvedBy *string          `json:"resolvedBy"`
	Reason     *string          `json:"reason"`
}

// DeadLetterQuery narrows the dead letters; zero values do not.
type DeadLetterQuery struct {
	IDs      []uuid.UUID
	Orders   []uuid.UUID
	Step     string
	Error    string // a part of the error
	From, To time.Time
	Resolved bool      // list resolved ones instead of open ones
	After    uuid.UUID // the last id of the page before
	Limit    int
}

// DeadLetters returns dead letters, oldest first.
func (m *Module) DeadLetters(ctx context.Context, f DeadLetterQuery) ([]DeadLetter, error) {
	var args []any
	from := f.letters(&args)
	rows, err := m.Pool.Query(ctx, `
		select d.id, d.order_id, o.status, d.step, d.error, d.attempts, d.created_at, d.resolved_at, d.resolution, d.resolved_by, d.reason
		from (`+from+`) d join lateral (select status from orders where id = d.order_id offset 0) o on true order by d.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (DeadLetter, error) {
		var (
			l        DeadLetter
			created  time.Time
			resolved *time.Time
		)
		err := row.Scan(&l.ID, &l.OrderID, &l.Status, &l.Step, &l.Error, &l.Attempts, &created, &resolved, &l.Resolution, &l.ResolvedBy, &l.Reason)
		l.CreatedAt, l.ResolvedAt = jsontime.At(created), jsontime.AtOrNil(resolved)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return list, nil
}

// letter returns one dead letter.
func (m *Module) letter(ctx context.Context, id uuid.UUID) (DeadLetter, error) {
	for _, resolved := range []bool{false, true} {
		list, err := m.DeadLetters(ctx, DeadLetterQuery{IDs: []uuid.UUID{id}, Resolved: resolved, Limit: 1})
		if err != nil {
			return DeadLetter{}, err
		}
		if len(list) > 0 {
			return list[0], nil
		}
	}
	return DeadLetter{}, fault.NotFound("dead letter")
}

// The ways to resolve a dead letter.
const (
	retry  = "retry"  // attempt the step again
	skip   = "skip"   // do not execute the step
	cancel = "cancel" // cancel the order
)

// Resolve resolves a dead letter and any other one of the same order, records an event, and
// returns the order.
func (m *Module) Resolve(ctx context.Context, caller identity.Caller, id uuid.UUID, how string, reason *string, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	if err := mustSay(how, reason); err != nil {
		return idempotency.Result[Order]{}, err
	}
	l, err := m.letter(ctx, id)
	if err != nil {
		return idempotency.Result[Order]{}, err
	}
	// A deleted order may have stalled as well, and only this use case can resolve it.
	key.Still = stillVisible(caller, l.OrderID, true, m.actionsOf(caller))
	return answerDeleted(ctx, m, caller, l.OrderID, key, func(ctx context.Context, u *unitOfWork, o *lockedOrder) (Order, error) {
		if err := u.resolve(ctx, o, l, how, reason); err != nil {
			return Order{}, err
		}
		return u.render(o), nil
	})
}

func mustSay(how string, reason *string) error {
	if how == skip && reason == nil {
		return fault.Invalid(fault.Field{Pointer: "/reason", Code: "required", Message: "is required to skip"})
	}
	return nil
}

func (u *unitOfWork) resolve(ctx context.Context, o *lockedOrder, l DeadLetter, how string, reason *string) error {
	var open bool
	err := u.tx.QueryRow(ctx, `select resolved_at is null from dead_letters where id = $1`, l.ID).Scan(&open)
	if err != nil {
		return fmt.Errorf("read dead letter %s: %w", l.ID, err)
	}
	if !open {
		return fault.New(fault.KindConflict, "resolved", "This dead letter is already resolved.")
	}
	if err := u.recordResolution(ctx, l, how); err != nil {
		return err
	}
	switch how {
	case retry:
		return u.retry(o, l.Step)
	case skip:
		return u.skip(o, l.Step, reason)
	default:
		// Unlike Cancel, which returns a cancelled order unchanged (SPEC C7), this is an
		// error, because the dead letter would stay open.
		if err := lifecycle.Check(o.State, lifecycle.Cancelled, u.role(o)); err != nil {
			return err
		}
		return u.cancel(ctx, o, u.role(o), reason)
	}
}

// retry schedules a step again: a failed order is reopened, failed refunds are requested again.
func (u *unitOfWork) retry(o *lockedOrder, step string) error {
	if o.Status == lifecycle.Failed && step != lifecycle.StepVoid {
		if o.Deleted {
			return fault.New(fault.KindConflict, "order-deleted", "The order is deleted and cannot be reopened; skip the dead letter instead.")
		}
		return o.record(o.Reopen(u.role(o), lifecycle.Pending, o.Outstanding()))
	}
	if o.HoldingStep() == step {
		o.Record(o.RetryStep(step, 0))
		return u.release(o, u.role(o), o.HeldFrom, nil)
	}
	change, err := u.settle(o, settlement.RetryRefunds{Left: o.Refundable(), Ordered: o.ordered()})
	if err != nil {
		return err
	}
	o.Schedule()
	o.Record(o.RetryStep(step, change.Amount))
	return nil
}

// skip records that a step will not be executed.
func (u *unitOfWork) skip(o *lockedOrder, step string, reason *string) error {
	switch step {
	case lifecycle.StepCapture, lifecycle.StepVoid, lifecycle.StepRefund:
		if _, err := u.settle(o, settlement.Abandon{}); err != nil {
			return err
		}
	}
	held := o.HoldingStep() == step
	o.Record(o.SkipStep(step, reason))
	if held {
		return u.release(o, u.role(o), o.HeldFrom, nil)
	}
	return nil
}
