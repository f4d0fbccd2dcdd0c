package webhooks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// What becomes of a delivery. The first two are under way.
const (
	pending   = "pending"   // a job will send it
	waiting   = "waiting"   // behind an earlier one of its order
	delivered = "delivered" // taken
	failed    = "failed"    // given up
	held      = "held"      // not sent, since the endpoint is disabled; a replay sends it
	withheld  = "withheld"  // not sent, since the owner may not see the order any more
)

// audience is as much of an endpoint as it takes to decide what concerns it.
type audience struct {
	id, owner uuid.UUID
	user      *uuid.UUID
	types     []string
	ordered   bool
	enabled   bool
	key       *uuid.UUID // that made it, if one did
	ailing    bool       // it has failed since it last succeeded
	last      int64
}

// hears tells whether an event is for an endpoint whose owner has that role now.
func (a *audience) hears(e events.Event, role identity.Role) bool {
	return (a.user == nil || *a.user == e.UserID) && maySee(a.owner, role, e.UserID) &&
		(len(a.types) == 0 || slices.Contains(a.types, e.Type))
}

// maySee: an active account its own orders, an administrator all. Accounts that are
// not active have no role.
func maySee(owner uuid.UUID, role identity.Role, user uuid.UUID) bool {
	return role == identity.Admin || role == identity.User && owner == user
}

// fanOut writes down what of a page of events is to be sent to whom. With nobody to
// tell it costs one query of an empty index.
func (m *Module) fanOut(ctx context.Context, tx pgx.Tx, list []events.Event) error {
	there, err := lockAudience(ctx, tx, list)
	if err != nil || len(there) == 0 {
		return err
	}
	owners := make([]uuid.UUID, len(there))
	for i, a := range there {
		owners[i] = a.owner
	}
	roles, err := m.Roles(ctx, tx, owners)
	if err != nil {
		return err
	}

	if err := m.endKeysOf(ctx, tx, there, roles); err != nil {
		return err
	}

	var rows []delivery
	at := postgres.Now()
	for _, a := range there {
		before := a.last
		for _, e := range list {
			if !a.hears(e, roles[a.owner]) {
				continue
			}
			a.last++
			rows = append(rows, delivery{
				id: uuid.Must(uuid.NewV7()), webhook: a.id, owner: a.owner, ailing: a.ailing, number: a.last, order: e.OrderID, version: e.Version,
				user: e.UserID, kind: e.Type, status: held, ordered: a.ordered,
			})
			if a.enabled {
				rows[len(rows)-1].status = pending
			}
		}
		if a.last == before {
			a.last = 0 // nothing to write
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := line(ctx, tx, rows); err != nil {
		return err
	}
	if err := insertDeliveries(ctx, tx, there, rows, at); err != nil {
		return err
	}
	return m.insertJobs(ctx, tx, rows, at)
}

// endKeysOf disables those that were made by keys which are over: what comes is held. Their
// rows are locked.
func (m *Module) endKeysOf(ctx context.Context, tx pgx.Tx, there []*audience, roles map[uuid.UUID]identity.Role) error {
	var ids []uuid.UUID
	for _, a := range there {
		if a.enabled && a.key != nil {
			ids = append(ids, *a.key)
		}
	}
	keys, err := m.keysOf(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, a := range there {
		if !a.enabled || a.key == nil || stands(keys, *a.key) && roles[a.owner] != "" {
			continue
		}
		a.enabled = false
		if err := disable(ctx, tx, a.id, credential); err != nil {
			return err
		}
		m.disabled(ctx, a.id, credential)
	}
	return nil
}

// lockAudience finds the endpoints that may be concerned, and keeps them as they are
// until the commit: who changes one, or ends a delivery in order, waits.
func lockAudience(ctx context.Context, tx pgx.Tx, list []events.Event) ([]*audience, error) {
	users := make([]uuid.UUID, len(list))
	for i, e := range list {
		users[i] = e.UserID
	}
	slices.SortFunc(users, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	rows, err := tx.Query(ctx, `
		select id, owner_id, user_id, types, ordering = 'order', enabled, key_id, failing_since is not null, last_number from webhooks
		where deleted_at is null and (user_id is null or user_id = any($1))
		order by id for no key update`, slices.Compact(users))
	if err != nil {
		return nil, fmt.Errorf("find webhooks: %w", err)
	}
	there, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*audience, error) {
		a := &audience{}
		return a, row.Scan(&a.id, &a.owner, &a.user, &a.types, &a.ordered, &a.enabled, &a.key, &a.ailing, &a.last)
	})
	if err != nil {
		return nil, fmt.Errorf("find webhooks: %w", err)
	}
	return there, nil
}

// delivery is a row on its way into the table, or back to its beginning.
type delivery struct {
	id, webhook uuid.UUID
	owner       uuid.UUID
	ailing      bool // its endpoint has failed since it last succeeded
	number      int64
	order       uuid.UUID
	version     int64
	user        uuid.UUID
	kind        string
	status      string
	ordered     bool
	due         time.Time // when it is to be sent; zero is now
}

// place is an order's queue at an endpoint.
type place struct{ webhook, order uuid.UUID }

// line makes those wait that are to come behind another of their order. The rows
// are in the order of their numbers, and their endpoints locked.
func line(ctx context.Context, tx pgx.Tx, rows []delivery) error {
	var hooks, orders []uuid.UUID
	for _, d := range rows {
		if d.ordered && d.status == pending {
			hooks, orders = append(hooks, d.webhook), append(orders, d.order)
		}
	}
	if len(hooks) == 0 {
		return nil
	}
	found, err := tx.Query(ctx, `
		select distinct d.webhook_id, d.order_id from unnest($1::uuid[], $2::uuid[]) as p (webhook_id, order_id)
		join webhook_deliveries d on d.webhook_id = p.webhook_id and d.order_id = p.order_id
		where d.status in ('pending', 'waiting')`, hooks, orders)
	if err != nil {
		return fmt.Errorf("find what is under way: %w", err)
	}
	busy := map[place]bool{}
	var p place
	_, err = pgx.ForEachRow(found, []any{&p.webhook, &p.order}, func() error {
		busy[p] = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("find what is under way: %w", err)
	}
	for i := range rows {
		d := &rows[i]
		if !d.ordered || d.status != pending {
			continue
		}
		p := place{d.webhook, d.order}
		if busy[p] {
			d.status = waiting
		}
		busy[p] = true
	}
	return nil
}

func insertDeliveries(ctx context.Context, tx pgx.Tx, there []*audience, rows []delivery, at time.Time) error {
	n := len(rows)
	ids, hooks, orders, users := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	numbers, versions := make([]int64, n), make([]int64, n)
	kinds, statuses := make([]string, n), make([]string, n)
	for i, d := range rows {
		ids[i], hooks[i], orders[i], users[i] = d.id, d.webhook, d.order, d.user
		numbers[i], versions[i], kinds[i], statuses[i] = d.number, d.version, d.kind, d.status
	}
	var moved []uuid.UUID
	var last []int64
	for _, a := range there {
		if a.last > 0 {
			moved, last = append(moved, a.id), append(last, a.last)
		}
	}

	b := &pgx.Batch{}
	b.Queue(`update webhooks w set last_number = n.last from unnest($1::uuid[], $2::bigint[]) as n (id, last) where w.id = n.id`, moved, last)
	b.Queue(`
		insert into webhook_deliveries (id, webhook_id, number, order_id, version, user_id, type, status, due_at, created_at)
		select d.*, case when d.status = 'pending' then $9::timestamptz end, $9
		from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[], $6::uuid[], $7::text[], $8::text[])
			as d (id, webhook_id, number, order_id, version, user_id, type, status)`,
		ids, hooks, numbers, orders, versions, users, kinds, statuses, at)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert %d deliveries: %w", n, err)
	}
	return nil
}

// River moves scheduled jobs along every five seconds. What is due sooner gets its job
// at once, which finds that it is early and snoozes to the moment.
const soon = 5 * time.Second

// The priorities of jobs in River, which works all of one before those of the next. What
// fails is tried again after what has not been tried; of an owner's deliveries that come
// all at once the first few come before the rest, so that they do not stand before those
// of others.
const (
	priorityFirst = 1
	priorityRest  = 2
	priorityAgain = 3
	firstOfOwner  = 20
)

// insertJobs gives each pending delivery its job, in the same commit.
func (m *Module) insertJobs(ctx context.Context, tx pgx.Tx, rows []delivery, at time.Time) error {
	var jobs []river.InsertManyParams
	ofOwner := map[uuid.UUID]int{}
	for _, d := range rows {
		if d.status != pending {
			continue
		}
		opts := &river.InsertOpts{Queue: Queue, Priority: priorityFirst}
		if ofOwner[d.owner]++; ofOwner[d.owner] > firstOfOwner {
			opts.Priority = priorityRest
		}
		if d.ailing {
			opts.Priority = priorityAgain
		}
		if d.due.Sub(at) > soon {
			opts.ScheduledAt = d.due
		}
		jobs = append(jobs, river.InsertManyParams{Args: DeliverArgs{DeliveryID: d.id, WebhookID: d.webhook, OwnerID: d.owner}, InsertOpts: opts})
	}
	if len(jobs) == 0 {
		return nil
	}
	if _, err := m.Queue.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("insert %d webhook jobs: %w", len(jobs), err)
	}
	return nil
}
