package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// The number of deliveries without a next step that a sweep repairs at once, and the time
// after which a missing job is looked for.
const (
	sweepAtOnce = 500
	lateAfter   = time.Minute
)

// SweepOnce inserts jobs for deliveries and replays that have lost theirs, releases deliveries
// that wait for nothing, disables endpoints of invalid API keys, holds pending deliveries of
// disabled endpoints, and updates metrics (SPEC D6). Any number of nodes may sweep.
func (m *Module) SweepOnce(ctx context.Context) error {
	for _, once := range []func(context.Context) error{m.endWithKeys, m.reviveDeliveries, m.reviveReplays, m.reviveBacklogs, m.unblock, m.holdRest, m.measure} {
		if err := once(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) reviveDeliveries(ctx context.Context) error {
	return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			select d.id, d.webhook_id, w.owner_id, w.failing_since is not null
			from webhook_deliveries d join webhooks w on w.id = d.webhook_id
			where d.status = 'pending' and d.due_at < $1 and (d.claimed_until is null or d.claimed_until < now())
			order by d.due_at limit $2 for no key update of d skip locked`, postgres.Now().Add(-lateAfter), sweepAtOnce)
		if err != nil {
			return err
		}
		late, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (delivery, error) {
			d := delivery{status: pending}
			err := row.Scan(&d.id, &d.webhook, &d.owner, &d.ailing)
			return d, err
		})
		if err != nil || len(late) == 0 {
			return err
		}
		ids := make([]uuid.UUID, len(late))
		for i, d := range late {
			ids[i] = d.id
		}
		alive, err := queue.Live(ctx, tx, Queue, deliverKind, "deliveryId", ids)
		if err != nil {
			return err
		}
		var lost []delivery
		for _, d := range late {
			if !alive[d.id] {
				lost = append(lost, d)
			}
		}
		m.metrics.repaired.Add(float64(len(lost)))
		return m.insertJobs(ctx, tx, lost, postgres.Now())
	})
}

func (m *Module) reviveReplays(ctx context.Context) error {
	return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select id from webhook_replays
			where status = 'running' and due_at < $1 for no key update skip locked`, postgres.Now().Add(-lateAfter))
		if err != nil {
			return err
		}
		late, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil || len(late) == 0 {
			return err
		}
		alive, err := queue.Live(ctx, tx, Queue, replayKind, "replayId", late)
		if err != nil {
			return err
		}
		for _, id := range late {
			if alive[id] {
				continue
			}
			if _, err := m.queue.InsertTx(ctx, tx, ReplayArgs{ReplayID: id}, &river.InsertOpts{Queue: Queue}); err != nil {
				return fmt.Errorf("insert the job of replay %s: %w", id, err)
			}
		}
		return nil
	})
}

// unblock releases deliveries that wait for nothing, because the ordering of the endpoint was
// switched while they were pending.
func (m *Module) unblock(ctx context.Context) error {
	return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			select w.webhook_id, w.order_id from webhook_deliveries w
			where w.status = 'waiting' and not exists (select from webhook_deliveries o
				where o.webhook_id = w.webhook_id and o.order_id = w.order_id and o.status = 'pending')
			order by w.webhook_id limit $1`, sweepAtOnce)
		if err != nil {
			return err
		}
		stuck, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p queueKey, err error) {
			err = row.Scan(&p.webhook, &p.order)
			return p, err
		})
		if err != nil || len(stuck) == 0 {
			return err
		}
		hooks := make([]uuid.UUID, len(stuck))
		for i, p := range stuck {
			hooks[i] = p.webhook
		}
		if _, err := tx.Exec(ctx, `select from webhooks where id = any($1) order by id for share`, hooks); err != nil {
			return err
		}
		return m.releaseNext(ctx, tx, stuck)
	})
}

func (m *Module) holdRest(ctx context.Context) error {
	rows, err := m.pool.Query(ctx, `
		select w.id from webhooks w where (not w.enabled or w.deleted_at is not null)
		and exists (select from webhook_deliveries d where d.webhook_id = w.id and d.status in ('pending', 'waiting')) limit 20`)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return err
	}
	for _, id := range list {
		if err := m.holdAll(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) holdAll(ctx context.Context, id uuid.UUID) error {
	for {
		var n int64
		err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
			var off bool
			err = tx.QueryRow(ctx, `select not enabled or deleted_at is not null from webhooks where id = $1 for no key update`, id).Scan(&off)
			if err != nil || !off {
				return err
			}
			n, err = hold(ctx, tx, id)
			return err
		})
		if err != nil || n < holdAtOnce {
			return err
		}
	}
}

func (m *Module) measure(ctx context.Context) error {
	var (
		waiting, off int64
		overdue      time.Duration
	)
	err := m.pool.QueryRow(ctx, `
		select (select count(*) from (select from webhook_deliveries where status = 'pending' limit 100000) p),
		       (select count(*) from webhooks where not enabled and deleted_at is null and disabled_reason <> 'manual'),
		       greatest(coalesce(now() - (select min(due_at) from webhook_deliveries where status = 'pending'), '0'), '0')`).
		Scan(&waiting, &off, &overdue)
	if err != nil {
		return fmt.Errorf("measure the webhooks: %w", err)
	}
	forks, err := events.Forks(ctx, m.pool, consumerName)
	if err != nil {
		return err
	}
	m.metrics.pending.Set(float64(waiting))
	m.metrics.disabled.Set(float64(off))
	m.metrics.overdue.Set(overdue.Seconds())
	m.metrics.backlogs.Set(float64(len(forks)))
	m.metrics.backlog.Set(0)
	if len(forks) > 0 {
		m.metrics.backlog.Set(time.Since(forks[0].At).Seconds())
	}
	return nil
}
