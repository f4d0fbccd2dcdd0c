package webhooks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// The deliveries that one transaction of the consumer creates: for all owners together, and for one
// of them. One endpoint that receives every event of a page is within its owner's share.
const (
	inlineOfPage  = 4000
	inlineOfOwner = 500
)

// inline are such limits.
type inline struct{ page, owner int }

// consumerName is the name of this module's consumer of the log.
const consumerName = "webhooks"

// backlogs returns the endpoints with a backlog, the farthest behind first.
func backlogs(ctx context.Context, q postgres.Querier) ([]uuid.UUID, error) {
	forks, err := events.Forks(ctx, q, consumerName)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(forks))
	for i, f := range forks {
		ids[i] = f.Part
	}
	return ids, nil
}

// divide divides the deliveries of a page between the owners (SPEC F10). It sets subscription.now, and
// returns the owners with more than their share and the number of events that are fanned out for
// them now, which is at least one.
func (in inline) divide(there []*subscription, list []events.Event, roles map[uuid.UUID]identity.Role) map[uuid.UUID]int {
	matched := map[uuid.UUID][]int{} // of each owner, by event
	for _, a := range there {
		a.now = len(list)
		if matched[a.owner] == nil {
			matched[a.owner] = make([]int, len(list))
		}
		for i, e := range list {
			if a.matches(e, roles[a.owner]) {
				matched[a.owner][i]++
			}
		}
	}
	var totals []int
	for _, of := range matched {
		totals = append(totals, sum(of))
	}
	most := in.quota(totals)

	over := map[uuid.UUID]int{}
	for owner, of := range matched {
		if sum(of) <= most {
			continue
		}
		now, total := 1, of[0]
		for now < len(of) && total+of[now] <= most {
			total += of[now]
			now++
		}
		over[owner] = now
	}
	for _, a := range there {
		if now, ok := over[a.owner]; ok {
			a.now = now
		}
	}
	return over
}

func sum(numbers []int) (n int) {
	for _, one := range numbers {
		n += one
	}
	return n
}

// quota returns the largest number of deliveries for each owner with which a page stays within its
// limit. What owners with few deliveries leave is divided between the others.
func (in inline) quota(totals []int) int {
	slices.Sort(totals)
	free := in.page
	for i, n := range totals {
		each := free / (len(totals) - i)
		if min(n, in.owner) > each {
			return max(each, 1)
		}
		free -= min(n, in.owner)
	}
	return in.owner
}

// postpone leaves the remaining events of these owners to their backlogs: each of their endpoints
// gets a position of its own, and each owner a job.
func (m *Module) postpone(ctx context.Context, tx pgx.Tx, there []*subscription, over map[uuid.UUID]int, list []events.Event) error {
	for owner, now := range over {
		var ids []uuid.UUID
		for _, a := range there {
			if a.owner == owner {
				ids = append(ids, a.id)
			}
		}
		if err := events.Fork(ctx, tx, consumerName, ids, list[now-1].Cursor); err != nil {
			return err
		}
	}
	return m.insertBacklogJobs(ctx, tx, slices.Collect(maps.Keys(over)))
}

// BacklogArgs are the arguments of a job that creates the deliveries of an owner with more than its
// share.
type BacklogArgs struct {
	OwnerID uuid.UUID `json:"ownerId"`
}

// Kind is stored with every job and must never change.
func (BacklogArgs) Kind() string { return backlogKind }

const backlogKind = "webhook_backlog"

type backlogWorker struct {
	river.WorkerDefaults[BacklogArgs]
	m *Module
}

// Work handles one page of one endpoint and queues behind the jobs of other owners. The positions are
// stored with the deliveries, so a job is safe to run twice or late.
func (w *backlogWorker) Work(ctx context.Context, job *river.Job[BacklogArgs]) error {
	more, err := w.m.catchUp(ctx, job.Args.OwnerID)
	switch {
	case queue.Stopping(ctx) && err != nil, err == nil && more:
		return river.JobSnooze(0)
	case err != nil:
		return fmt.Errorf("create the deliveries of %s: %w", job.Args.OwnerID, err)
	}
	return nil
}

// catchUp creates deliveries of the endpoint of an owner that is the farthest behind. It reports
// whether the owner may have more.
func (m *Module) catchUp(ctx context.Context, owner uuid.UUID) (more bool, err error) {
	behind, err := backlogs(ctx, m.pool)
	if err != nil {
		return false, err
	}
	var (
		endpoint uuid.UUID
		user     uuid.UUID // whose events it receives; zero for all
		deleted  bool
	)
	err = m.pool.QueryRow(ctx, `
		select id, coalesce(user_id, '00000000-0000-0000-0000-000000000000'), deleted_at is not null from webhooks
		where owner_id = $1 and id = any($2) order by array_position($2, id) limit 1`, owner, behind).Scan(&endpoint, &user, &deleted)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find the backlogs of %s: %w", owner, err)
	case deleted:
		return true, events.EndFork(ctx, m.pool, consumerName, endpoint)
	}
	roles, err := m.roles(ctx, m.pool, []uuid.UUID{owner})
	if err != nil {
		return false, err
	}
	if roles[owner] != identity.Admin {
		user = owner // sees no other events
	}
	_, err = m.events.CatchUp(ctx, consumerName, endpoint, user, func(ctx context.Context, tx pgx.Tx, list []events.Event) error {
		return m.fanOutTo(ctx, tx, endpoint, list)
	})
	return true, err
}

// fanOutTo creates the deliveries of one endpoint.
func (m *Module) fanOutTo(ctx context.Context, tx pgx.Tx, endpoint uuid.UUID, list []events.Event) error {
	rows, err := tx.Query(ctx, `select `+subscriptionColumns+` from webhooks where id = $1 and deleted_at is null for no key update`, endpoint)
	if err != nil {
		return fmt.Errorf("lock webhook %s: %w", endpoint, err)
	}
	there, err := pgx.CollectRows(rows, toSubscription)
	if err != nil {
		return fmt.Errorf("lock webhook %s: %w", endpoint, err)
	}
	if len(there) == 0 {
		return nil // deleted meanwhile
	}
	roles, err := m.rolesOfOwners(ctx, tx, there)
	if err != nil {
		return err
	}
	if list, err = undelivered(ctx, tx, endpoint, list); err != nil {
		return err
	}
	there[0].now, there[0].late = len(list), true
	return m.createDeliveries(ctx, tx, there, list, roles)
}

// undelivered returns the events without a delivery to an endpoint. All are, except while a node of
// an earlier version is the consumer, since it does not know of backlogs.
func undelivered(ctx context.Context, tx pgx.Tx, endpoint uuid.UUID, list []events.Event) ([]events.Event, error) {
	orders, versions := make([]uuid.UUID, len(list)), make([]int64, len(list))
	for i, e := range list {
		orders[i], versions[i] = e.OrderID, e.Version
	}
	rows, err := tx.Query(ctx, `
		select d.order_id, d.version from unnest($2::uuid[], $3::bigint[]) as e (order_id, version)
		join webhook_deliveries d on d.webhook_id = $1 and d.order_id = e.order_id and d.version = e.version`, endpoint, orders, versions)
	if err != nil {
		return nil, fmt.Errorf("find deliveries of webhook %s: %w", endpoint, err)
	}
	type key struct {
		order   uuid.UUID
		version int64
	}
	there := map[key]bool{}
	var k key
	if _, err = pgx.ForEachRow(rows, []any{&k.order, &k.version}, func() error {
		there[k] = true
		return nil
	}); err != nil {
		return nil, fmt.Errorf("find deliveries of webhook %s: %w", endpoint, err)
	}
	return slices.DeleteFunc(list, func(e events.Event) bool { return there[key{e.OrderID, e.Version}] }), nil
}

// reviveBacklogs inserts jobs for backlogs that have lost theirs, and removes those of endpoints that
// no longer exist.
func (m *Module) reviveBacklogs(ctx context.Context) error {
	return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		owners, err := ownersOfBacklogs(ctx, tx)
		if err != nil || len(owners) == 0 {
			return err
		}
		alive, err := queue.Live(ctx, tx, Queue, backlogKind, "ownerId", owners)
		if err != nil {
			return err
		}
		return m.insertBacklogJobs(ctx, tx, slices.DeleteFunc(owners, func(owner uuid.UUID) bool { return alive[owner] }))
	})
}

func ownersOfBacklogs(ctx context.Context, tx pgx.Tx) (owners []uuid.UUID, err error) {
	behind, err := backlogs(ctx, tx)
	if err != nil || len(behind) == 0 {
		return nil, err
	}
	rows, err := tx.Query(ctx, `select b.id, w.owner_id from unnest($1::uuid[]) as b (id) left join webhooks w on w.id = b.id`, behind)
	if err != nil {
		return nil, fmt.Errorf("find the owners of backlogs: %w", err)
	}
	var (
		endpoint uuid.UUID
		owner    *uuid.UUID
		orphans  []uuid.UUID
	)
	_, err = pgx.ForEachRow(rows, []any{&endpoint, &owner}, func() error {
		if owner == nil {
			orphans = append(orphans, endpoint)
		} else if !slices.Contains(owners, *owner) {
			owners = append(owners, *owner)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the owners of backlogs: %w", err)
	}
	for _, id := range orphans {
		if err := events.EndFork(ctx, tx, consumerName, id); err != nil {
			return nil, err
		}
	}
	return owners, nil
}

func (m *Module) insertBacklogJobs(ctx context.Context, tx pgx.Tx, owners []uuid.UUID) error {
	jobs := make([]river.InsertManyParams, len(owners))
	for i, owner := range owners {
		jobs[i] = river.InsertManyParams{Args: BacklogArgs{OwnerID: owner}, InsertOpts: &river.InsertOpts{Queue: Queue, Priority: priorityRest}}
	}
	if len(jobs) == 0 {
		return nil
	}
	if _, err := m.queue.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("insert %d jobs for backlogs of webhooks: %w", len(jobs), err)
	}
	return nil
}
