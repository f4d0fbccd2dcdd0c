package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Why an endpoint is disabled.
const (
	byHand  = "manual"
	gone    = "gone"    // it responded with 410
	failing = "failing" // nothing succeeded for days, or a delivery exhausted its attempts
)

const settleWithin = 4 * time.Second

// settle records an attempt and its consequences and completes the job in one commit. A further
// attempt gets a job of its own in that commit.
func (m *Module) settle(ctx context.Context, job *river.Job[DeliverArgs], a *attempt, o outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()

	var v verdict
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		var since *time.Time
		if err := lockFor(ctx, tx, a, o, &since); err != nil {
			return err
		}
		v = m.verdictOn(a, o, since)
		if err := record(ctx, tx, a.id, o); err != nil {
			return err
		}
		if err := m.write(ctx, tx, a, v); err != nil {
			return err
		}
		if err := m.updateHealth(ctx, tx, a, o, v, since); err != nil {
			return err
		}
		return m.leave(ctx, tx, job, a, v.status)
	})
	if err != nil {
		return fmt.Errorf("settle delivery %s: %w", a.id, err)
	}
	m.metrics.attempts.WithLabelValues(v.outcome).Inc()
	m.metrics.seconds.Observe(o.took.Seconds())
	if v.disable != "" {
		m.disabled(ctx, a.webhook, v.disable)
	}
	return nil
}

// lockFor takes the weakest lock of the endpoint that the outcome needs: none if the delivery
// was accepted and is not ordered, which is the usual case; a shared one if the next delivery
// of the order follows, so that no delivery is added meanwhile; an exclusive one if the
// endpoint's health changes.
func lockFor(ctx context.Context, tx pgx.Tx, a *attempt, o outcome, since **time.Time) error {
	strength := "for no key update"
	switch {
	case !o.accepted() || a.ailing:
	case a.ordered:
		strength = "for share"
	default:
		return nil
	}
	err := tx.QueryRow(ctx, `select failing_since from webhooks where id = $1 `+strength, a.webhook).Scan(since)
	if err != nil {
		return fmt.Errorf("lock webhook %s: %w", a.webhook, err)
	}
	return nil
}

// verdict is the consequence of an attempt for the delivery and its endpoint.
type verdict struct {
	status  string
	due     time.Time // of the next attempt, if the delivery is pending
	disable string    // the reason for disabling the endpoint, or empty
	outcome string    // for the metric
}

func (m *Module) verdictOn(a *attempt, o outcome, since *time.Time) verdict {
	if o.accepted() {
		return verdict{status: delivered, outcome: "delivered"}
	}
	if o.status == 410 {
		return verdict{status: failed, disable: gone, outcome: "gone"}
	}
	wait, again := m.policy.wait(a.attempts+1, o.retryAfter)
	if !again || since != nil && time.Since(*since) >= m.policy.failAfter {
		return verdict{status: failed, disable: failing, outcome: "failed"}
	}
	return verdict{status: pending, due: postgres.Now().Add(wait), outcome: "retry"}
}

func record(ctx context.Context, tx pgx.Tx, delivery uuid.UUID, o outcome) error {
	create := ent.On(tx).WebhookAttempt.Create().SetID(uuid.Must(uuid.NewV7())).SetDeliveryID(delivery).
		SetAt(o.at).SetDurationMs(o.took.Milliseconds()).SetAnswer(o.answer)
	if o.status != 0 {
		create.SetStatusCode(int64(o.status))
	}
	if !o.accepted() {
		create.SetError(o.problem)
	}
	if err := create.Exec(ctx); err != nil {
		return fmt.Errorf("record a try of delivery %s: %w", delivery, err)
	}
	return nil
}

// write stores the new status of the delivery. If the claim has expired, the delivery belongs
// to another worker. If it was held meanwhile, it stays held unless the endpoint accepted it.
func (m *Module) write(ctx context.Context, tx pgx.Tx, a *attempt, v verdict) error {
	var due, settled *time.Time
	if v.status == pending {
		due = &v.due
	} else {
		settled = new(postgres.Now())
	}
	_, err := tx.Exec(ctx, `
		update webhook_deliveries set status = $3, due_at = $4, settled_at = $5, tries = tries + 1, claim = null, claimed_until = null
		where id = $1 and claim = $2 and (status = 'pending' or $3 = 'delivered')`, a.id, a.claim, v.status, due, settled)
	if err != nil || v.status != pending {
		return err
	}
	next := a.delivery
	next.status, next.due, next.ailing = pending, v.due, true
	return m.insertJobs(ctx, tx, []delivery{next}, postgres.Now())
}

// updateHealth updates the health of the endpoint: since when it fails, and whether to disable
// it.
func (m *Module) updateHealth(ctx context.Context, tx pgx.Tx, a *attempt, o outcome, v verdict, since *time.Time) (err error) {
	switch {
	case v.disable != "":
		return disable(ctx, tx, a.webhook, v.disable)
	case o.accepted() && since != nil:
		_, err = tx.Exec(ctx, `update webhooks set failing_since = null where id = $1`, a.webhook)
	case !o.accepted() && since == nil:
		_, err = tx.Exec(ctx, `update webhooks set failing_since = $2 where id = $1`, a.webhook, o.at)
	}
	return err
}

// leave releases the next delivery of the order and completes the job.
func (m *Module) leave(ctx context.Context, tx pgx.Tx, job *river.Job[DeliverArgs], a *attempt, status string) error {
	if a.ordered && status != pending {
		if err := m.releaseNext(ctx, tx, []queueKey{{a.webhook, a.order}}); err != nil {
			return err
		}
	}
	_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
	return err
}

// drop settles a delivery without sending it.
func (m *Module) drop(ctx context.Context, job *river.Job[DeliverArgs], a *attempt, status string) error {
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select from webhooks where id = $1 for share`, a.webhook); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			update webhook_deliveries set status = $3, due_at = null, settled_at = $4, claim = null, claimed_until = null
			where id = $1 and claim = $2 and status = 'pending'`, a.id, a.claim, status, postgres.Now())
		if err != nil {
			return err
		}
		return m.leave(ctx, tx, job, a, status)
	})
	if err != nil {
		return fmt.Errorf("drop delivery %s: %w", a.id, err)
	}
	m.metrics.attempts.WithLabelValues(status).Inc()
	return nil
}

// releaseNext creates the jobs of the next delivery of each queue in which none is under way. The
// endpoints are locked.
func (m *Module) releaseNext(ctx context.Context, tx pgx.Tx, places []queueKey) error {
	hooks, orders := make([]uuid.UUID, len(places)), make([]uuid.UUID, len(places))
	for i, p := range places {
		hooks[i], orders[i] = p.webhook, p.order
	}
	at := postgres.Now()
	rows, err := tx.Query(ctx, `
		update webhook_deliveries d set status = 'pending', due_at = $3
		from webhooks h, (select distinct on (w.webhook_id, w.order_id) w.id from unnest($1::uuid[], $2::uuid[]) as p (webhook_id, order_id)
		      join webhook_deliveries w on w.webhook_id = p.webhook_id and w.order_id = p.order_id and w.status = 'waiting'
		      where not exists (select from webhook_deliveries o
		                        where o.webhook_id = p.webhook_id and o.order_id = p.order_id and o.status = 'pending')
		      order by w.webhook_id, w.order_id, w.number) first
		where d.id = first.id and d.status = 'waiting' and h.id = d.webhook_id
		returning d.id, d.webhook_id, h.owner_id, h.failing_since is not null`, hooks, orders, at)
	if err != nil {
		return fmt.Errorf("let the next deliveries follow: %w", err)
	}
	next, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (delivery, error) {
		d := delivery{status: pending}
		err := row.Scan(&d.id, &d.webhook, &d.owner, &d.ailing)
		return d, err
	})
	if err != nil {
		return fmt.Errorf("let the next deliveries follow: %w", err)
	}
	return m.insertJobs(ctx, tx, next, at)
}
