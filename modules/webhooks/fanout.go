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

// The statuses of a delivery. The first two are not settled.
const (
	pending   = "pending"   // a job will send it
	waiting   = "waiting"   // for an earlier delivery of its order
	delivered = "delivered" // the endpoint accepted it
	failed    = "failed"    // no further attempt is made
	held      = "held"      // not sent, since the endpoint is disabled; a replay sends it
	withheld  = "withheld"  // not sent, since the owner may not see the order any more
)

// subscription is the part of an endpoint that decides which events it receives.
type subscription struct {
	id, owner uuid.UUID
	user      *uuid.UUID
	types     []string
	ordered   bool
	enabled   bool
	key       *uuid.UUID // its API key, if it has one
	ailing    bool       // whether it has failed since its last success
	last      int64
	now       int  // how many events of the page are fanned out now; the others are left to the backlog
	late      bool // whether its deliveries come from the backlog
}

// matches reports whether the endpoint receives an event while its owner has the given role.
func (a *subscription) matches(e events.Event, role identity.Role) bool {
	return (a.user == nil || *a.user == e.UserID) && maySee(a.owner, role, e.UserID) &&
		(len(a.types) == 0 || slices.Contains(a.types, e.Type))
}

// maySee reports whether an account may see the orders of a user: an active account sees its own,
// an administrator sees all. An account that is not active has no role.
func maySee(owner uuid.UUID, role identity.Role, user uuid.UUID) bool {
	return role == identity.Admin || role == identity.User && owner == user
}

// fanOut creates the deliveries of a page of events, except those that are left to the backlog of an
// owner with more than its share. Without endpoints it costs one query of an empty index.
func (m *Module) fanOut(ctx context.Context, tx pgx.Tx, list []events.Event) error {
	there, err := lockSubscriptions(ctx, tx, list)
	if err != nil || len(there) == 0 {
		return err
	}
	roles, err := m.rolesOfOwners(ctx, tx, there)
	if err != nil {
		return err
	}
	if err := m.postpone(ctx, tx, there, m.inline.divide(there, list, roles), list); err != nil {
		return err
	}
	return m.createDeliveries(ctx, tx, there, list, roles)
}

func (m *Module) rolesOfOwners(ctx context.Context, tx pgx.Tx, there []*subscription) (map[uuid.UUID]identity.Role, error) {
	owners := make([]uuid.UUID, len(there))
	for i, a := range there {
		owners[i] = a.owner
	}
	return m.roles(ctx, tx, owners)
}

// createDeliveries creates the deliveries of each endpoint for its part of the events.
func (m *Module) createDeliveries(ctx context.Context, tx pgx.Tx, there []*subscription, list []events.Event, roles map[uuid.UUID]identity.Role) error {
	if err := m.endKeysOf(ctx, tx, there, roles); err != nil {
		return err
	}

	var rows []delivery
	at := postgres.Now()
	for _, a := range there {
		before := a.last
		for _, e := range list[:a.now] {
			if !a.matches(e, roles[a.owner]) {
				continue
			}
			a.last++
			rows = append(rows, delivery{
				id: uuid.Must(uuid.NewV7()), webhook: a.id, owner: a.owner, ailing: a.ailing, late: a.late, number: a.last, order: e.OrderID, version: e.Version,
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
	if err := queueInOrder(ctx, tx, rows); err != nil {
		return err
	}
	if err := insertDeliveries(ctx, tx, there, rows, at); err != nil {
		return err
	}
	return m.insertJobs(ctx, tx, rows, at)
}

// endKeysOf disables the endpoints whose API keys are no longer valid, so that their new
// deliveries are held. Their rows are locked.
func (m *Module) endKeysOf(ctx context.Context, tx pgx.Tx, there []*subscription, roles map[uuid.UUID]identity.Role) error {
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
		if !a.enabled || a.key == nil || keyIsValid(keys, *a.key) && roles[a.owner] != "" {
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

// lockSubscriptions reads the endpoints that may be concerned and have no backlog, and locks them until
// the commit, so that changes of them and ordered deliveries wait.
func lockSubscriptions(ctx context.Context, tx pgx.Tx, list []events.Event) ([]*subscription, error) {
	behind, err := backlogs(ctx, tx)
	if err != nil {
		return nil, err
	}
	users := make([]uuid.UUID, len(list))
	for i, e := range list {
		users[i] = e.UserID
	}
	slices.SortFunc(users, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	rows, err := tx.Query(ctx, `
		select `+subscriptionColumns+` from webhooks
		where deleted_at is null and (user_id is null or user_id = any($1))
		  and id <> all($2)
		order by id for no key update`, slices.Compact(users), behind)
	if err != nil {
		return nil, fmt.Errorf("find webhooks: %w", err)
	}
	there, err := pgx.CollectRows(rows, toSubscription)
	if err != nil {
		return nil, fmt.Errorf("find webhooks: %w", err)
	}
	return there, nil
}

const subscriptionColumns = `id, owner_id, user_id, types, ordering = 'order', enabled, key_id, failing_since is not null, last_number`

func toSubscription(row pgx.CollectableRow) (*subscription, error) {
	a := &subscription{}
	return a, row.Scan(&a.id, &a.owner, &a.user, &a.types, &a.ordered, &a.enabled, &a.key, &a.ailing, &a.last)
}

// delivery is a row that is inserted or made pending again.
type delivery struct {
	id, webhook uuid.UUID
	owner       uuid.UUID
	ailing      bool // whether its endpoint has failed since its last success
	late        bool // whether it comes from the backlog of an owner with more than its share
	number      int64
	order       uuid.UUID
	version     int64
	user        uuid.UUID
	kind        string
	status      string
	ordered     bool
	due         time.Time // when it is to be sent; zero is now
}

// queueKey identifies the queue of one order at one endpoint.
type queueKey struct{ webhook, order uuid.UUID }

// queueInOrder marks deliveries as waiting when an earlier one of their order is under way. The
// rows are in the order of their numbers, and their endpoints are locked.
func queueInOrder(ctx context.Context, tx pgx.Tx, rows []delivery) error {
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
		return fmt.Errorf("find pending deliveries: %w", err)
	}
	busy := map[queueKey]bool{}
	var p queueKey
	_, err = pgx.ForEachRow(found, []any{&p.webhook, &p.order}, func() error {
		busy[p] = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("find pending deliveries: %w", err)
	}
	for i := range rows {
		d := &rows[i]
		if !d.ordered || d.status != pending {
			continue
		}
		p := queueKey{d.webhook, d.order}
		if busy[p] {
			d.status = waiting
		}
		busy[p] = true
	}
	return nil
}

func insertDeliveries(ctx context.Context, tx pgx.Tx, there []*subscription, rows []delivery, at time.Time) error {
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

// River makes scheduled jobs available every five seconds. A delivery that is due sooner gets
// an available job, which snoozes until the exact time.
const soon = 5 * time.Second

// The priorities of jobs; River works all jobs of one priority before those of the next. A
// retry comes after first attempts. If an owner gets many deliveries at once, only the first
// few have a high priority, so that the rest do not delay those of other owners.
const (
	priorityFirst = 1
	priorityRest  = 2
	priorityAgain = 3
	firstOfOwner  = 20
)

// insertJobs inserts a job for each pending delivery, in the same transaction.
func (m *Module) insertJobs(ctx context.Context, tx pgx.Tx, rows []delivery, at time.Time) error {
	var jobs []river.InsertManyParams
	ofOwner := map[uuid.UUID]int{}
	for _, d := range rows {
		if d.status != pending {
			continue
		}
		opts := &river.InsertOpts{Queue: Queue, Priority: priorityFirst}
		if ofOwner[d.owner]++; ofOwner[d.owner] > firstOfOwner || d.late {
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
	if _, err := m.queue.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("insert %d webhook jobs: %w", len(jobs), err)
	}
	return nil
}
