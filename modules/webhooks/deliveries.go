package webhooks

import (
	"context"
	"fmt"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/webhookattempt"
	"github.com/orderflow-dev/orderflow/ent/webhookdelivery"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	// window is the number of deliveries that a page examines if no index supports its filter.
	window = 5000
	// maxAttempts is the number of attempts of a delivery that are shown, the last ones.
	maxAttempts = 100
)

// filter narrows a list; zero values do not.
type filter struct {
	statuses []string
	kinds    []string
	order    uuid.UUID
	user     uuid.UUID // the owner of the orders
	before   int64     // only numbers below this one
	limit    int
}

// deliveries returns a page of an endpoint's deliveries, newest first, and the number below
// which the next page starts, or 0. Numbers, orders and statuses other than delivered have an
// index. With other filters a page examines one window at most, so it may be short although
// more pages follow.
func (m *Module) deliveries(ctx context.Context, id uuid.UUID, last int64, f filter) (page []*ent.WebhookDelivery, next int64, err error) {
	first := f.before == 0
	if first {
		f.before = last + 1
	}
	// Numbers have no gaps but for deleted old ones. A lower bound keeps a page within its own rows, also
	// if the planner takes the deliveries of the endpoint for few and reads them all (SPEC E31).
	floor, order := max(0, f.before-int64(f.limit)-1), webhookdelivery.ByNumber
	query := ent.On(m.pool).WebhookDelivery.Query().Where(webhookdelivery.WebhookID(id))
	if len(f.statuses) > 0 {
		query.Where(webhookdelivery.StatusIn(f.statuses...))
	}
	if len(f.kinds) > 0 {
		query.Where(webhookdelivery.TypeIn(f.kinds...))
	}
	if f.user != uuid.Nil {
		query.Where(webhookdelivery.UserID(f.user))
	}
	switch {
	case f.order != uuid.Nil:
		floor = 0
		query.Where(webhookdelivery.OrderID(f.order))
		order = webhookdelivery.ByVersion // the same order within an order, and that of the index of its events
	case len(f.kinds) > 0 || len(f.statuses) > 0 || f.user != uuid.Nil:
		floor = max(0, f.before-window)
	}
	if f.order == uuid.Nil {
		query.Where(webhookdelivery.NumberGTE(floor))
	}
	if f.order == uuid.Nil || !first { // without a cursor, only the index of events can serve an order
		query.Where(webhookdelivery.NumberLT(f.before))
	}
	page, err = query.Order(order(sql.OrderDesc())).Limit(f.limit + 1).All(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list the deliveries of webhook %s: %w", id, err)
	}
	switch {
	case len(page) > f.limit:
		page = page[:f.limit]
		next = page[f.limit-1].Number
	case floor > 1:
		next = floor
	}
	return page, next, nil
}

// delivery returns a delivery that the caller may see. Deliveries of other users' orders are
// absent for a former administrator.
func (m *Module) delivery(ctx context.Context, q postgres.Querier, c identity.Caller, id uuid.UUID, number int64) (*ent.WebhookDelivery, error) {
	row, err := ent.On(q).WebhookDelivery.Query().Where(webhookdelivery.WebhookID(id), webhookdelivery.Number(number)).Only(ctx)
	if ent.IsNotFound(err) || err == nil && !maySee(c.UserID, c.Role, row.UserID) {
		return nil, fault.NotFound("delivery")
	}
	if err != nil {
		return nil, fmt.Errorf("read delivery %d of webhook %s: %w", number, id, err)
	}
	return row, nil
}

func (m *Module) attempts(ctx context.Context, delivery uuid.UUID) ([]*ent.WebhookAttempt, error) {
	rows, err := ent.On(m.pool).WebhookAttempt.Query().Where(webhookattempt.DeliveryID(delivery)).
		Order(webhookattempt.ByID(sql.OrderDesc())).Limit(maxAttempts).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the attempts of delivery %s: %w", delivery, err)
	}
	return rows, nil
}

// stillOwned checks that a stored response may be returned again.
func stillOwned[T any](m *Module, c identity.Caller, id uuid.UUID) func(context.Context, postgres.Querier, *idempotency.Replay[T]) error {
	return func(ctx context.Context, q postgres.Querier, replay *idempotency.Replay[T]) error {
		_, err := m.webhook(ctx, q, c, id)
		if err == nil && replay.Demoted {
			err = fault.NotFound("delivery") // the owner of the order is not stored
		}
		return err
	}
}

// resend sends a delivery again now, with all its attempts and the same number and
// webhook-id.
func (m *Module) resend(ctx context.Context, c identity.Caller, id uuid.UUID, number int64, key idempotency.Key[*ent.WebhookDelivery]) (idempotency.Result[*ent.WebhookDelivery], error) {
	key.Still = stillOwned[*ent.WebhookDelivery](m, c, id)
	return idempotency.Do(ctx, m.running, m.pool, key, func(tx pgx.Tx) (*ent.WebhookDelivery, error) {
		hook, err := m.lock(ctx, tx, c.UserID, id)
		if err != nil {
			return nil, err
		}
		if _, err := m.delivery(ctx, tx, c, id, number); err != nil {
			return nil, err
		}
		if !hook.Enabled {
			return nil, isDisabled()
		}
		n, err := m.again(ctx, tx, hook, []int64{number})
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, fault.New(fault.KindConflict, "delivery-under-way", "This delivery is in progress; the next attempt is already scheduled.")
		}
		if err := recordEndpoint(ctx, tx, auditResent, hook, audit.Now("number", number)); err != nil {
			return nil, err
		}
		return m.delivery(ctx, tx, c, id, number)
	})
}

func isDisabled() error {
	return fault.New(fault.KindConflict, "webhook-disabled", "The webhook is disabled; enable it first.")
}

// again makes settled deliveries of a locked endpoint pending again, behind the pending ones
// of their order, and returns their number.
func (m *Module) again(ctx context.Context, tx pgx.Tx, hook *ent.Webhook, numbers []int64) (int, error) {
	rows, err := tx.Query(ctx, `
		select id, webhook_id, number, order_id from webhook_deliveries
		where webhook_id = $1 and number = any($2) and status not in ('pending', 'waiting') order by number for no key update`, hook.ID, numbers)
	if err != nil {
		return 0, fmt.Errorf("find what to send again: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (delivery, error) {
		d := delivery{status: pending, owner: hook.OwnerID, ailing: hook.FailingSince != nil, ordered: hook.Ordering == "order"}
		err := row.Scan(&d.id, &d.webhook, &d.number, &d.order)
		return d, err
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	if err := queueInOrder(ctx, tx, list); err != nil {
		return 0, err
	}
	at := postgres.Now()
	ids, statuses := make([]uuid.UUID, len(list)), make([]string, len(list))
	for i, d := range list {
		ids[i], statuses[i] = d.id, d.status
	}
	_, err = tx.Exec(ctx, `
		update webhook_deliveries d set status = n.status, tries = 0, settled_at = null, claim = null, claimed_until = null,
			due_at = case when n.status = 'pending' then $3::timestamptz end
		from unnest($1::uuid[], $2::text[]) as n (id, status) where d.id = n.id`, ids, statuses, at)
	if err != nil {
		return 0, fmt.Errorf("send %d deliveries again: %w", len(list), err)
	}
	return len(list), m.insertJobs(ctx, tx, list, at)
}
