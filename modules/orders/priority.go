package orders

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/uuidv7"
)

// River works all jobs of one priority before those of the next. The job of a new order gets a
// priority by the number of orders of its account that wait already, so that an account with a
// backlog does not delay the others (SPEC F13): an order waits behind at most as many orders of
// each other account as the limit of its own priority allows. PromoteJobs prevents starvation.
const (
	firstPriority = 1
	lastPriority  = 4
)

// The numbers of waiting orders from which on the next priority is used.
const (
	firstLimit, secondLimit, thirdLimit = 50, 500, 2000
)

const (
	// The jobs that an account gets on a node in this time before anything is counted, which are
	// all jobs of most accounts. It is the limit of the first priority.
	priorityWindow = time.Minute
	// The interval at which the waiting orders of an account are counted. Those that this node
	// places meanwhile are added, those that other nodes place are not.
	recountAfter = time.Second
	// Orders that were placed earlier are not counted, so that the count reads few rows.
	countedAge = time.Hour
	// The number of accounts from which on those of past windows are forgotten, with each new one.
	accountsKept = 10_000
)

func priorityOf(waiting int) int {
	for i, limit := range []int{firstLimit, secondLimit, thirdLimit} {
		if waiting < limit {
			return firstPriority + i
		}
	}
	return lastPriority
}

// priorities chooses the priorities of jobs. It is safe for concurrent use.
type priorities struct {
	mu       sync.Mutex
	accounts map[uuid.UUID]*accountJobs
}

// accountJobs counts the jobs of an account.
type accountJobs struct {
	began   time.Time // the start of the window
	jobs    int       // inserted by this node in the window
	waiting int       // orders that waited when they were counted, and those placed here since
	counted time.Time
}

// account returns the counts of an account in the present window. The caller holds the lock.
func (p *priorities) account(id uuid.UUID, now time.Time) *accountJobs {
	a := p.accounts[id]
	if a == nil {
		p.forget(now)
		a = &accountJobs{}
		p.accounts[id] = a
	}
	if now.Sub(a.began) >= priorityWindow {
		backlog := a.waiting >= firstLimit
		*a = accountJobs{began: now}
		if backlog { // it may still exist, so that no job goes uncounted
			a.jobs = firstLimit
		}
	}
	return a
}

func (p *priorities) forget(now time.Time) {
	if p.accounts == nil {
		p.accounts = map[uuid.UUID]*accountJobs{}
	}
	if len(p.accounts) < accountsKept {
		return
	}
	for id, a := range p.accounts {
		if now.Sub(a.began) >= priorityWindow {
			delete(p.accounts, id)
		}
	}
}

// uncounted returns which of the accounts exceed the first priority with the given numbers of new
// jobs, and have not been counted lately.
func (p *priorities) uncounted(jobs map[uuid.UUID]int, now time.Time) (list []uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, n := range jobs {
		if a := p.account(id, now); a.jobs+n > firstLimit && now.Sub(a.counted) >= recountAfter {
			list = append(list, id)
		}
	}
	return list
}

// counted records how many orders of an account wait.
func (p *priorities) counted(id uuid.UUID, waiting int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.account(id, now)
	a.waiting, a.counted = waiting, now
}

// placed returns the priority of the job of one more order of an account.
func (p *priorities) placed(id uuid.UUID, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.account(id, now)
	priority := firstPriority
	if a.jobs >= firstLimit {
		priority = priorityOf(a.waiting)
	}
	a.jobs++
	a.waiting++
	return priority
}

// resumed returns the priority of one more job of an order that exists. Such an order may have any
// status, so the jobs of the window are counted instead of the orders that wait.
func (p *priorities) resumed(id uuid.UUID, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.account(id, now)
	a.jobs++
	return priorityOf(a.jobs - 1)
}

// prioritize returns the priorities of the jobs of new orders, in their order. It counts the orders
// of accounts that have placed many, in tx, at most once in recountAfter for each of them.
func (m *Module) prioritize(ctx context.Context, tx pgx.Tx, list []*placement) ([]int, error) {
	now := time.Now()
	jobs := map[uuid.UUID]int{}
	for _, p := range list {
		jobs[p.row.UserID]++
	}
	if uncounted := m.priorities.uncounted(jobs, now); len(uncounted) > 0 {
		if err := m.countWaiting(ctx, tx, uncounted, jobs, now); err != nil {
			return nil, err
		}
	}
	all := make([]int, len(list))
	for i, p := range list {
		all[i] = m.priorities.placed(p.row.UserID, now)
	}
	return all, nil
}

// countWaiting counts the orders of accounts that are not confirmed yet, up to the limit of the last
// priority. The orders that tx has inserted are not included.
func (m *Module) countWaiting(ctx context.Context, tx pgx.Tx, accounts []uuid.UUID, inserted map[uuid.UUID]int, now time.Time) error {
	own := 0
	for _, id := range accounts {
		own = max(own, inserted[id])
	}
	rows, err := tx.Query(ctx, `
		select a.id, (
			select count(*) from (
				select o.status from orders o where o.user_id = a.id and o.id >= $2 order by o.id desc limit $3
			) newest where newest.status = 'PENDING')
		from unnest($1::uuid[]) as a (id)`, accounts, uuidv7.First(now.Add(-countedAge)), thirdLimit+own)
	if err != nil {
		return fmt.Errorf("count the waiting orders of %d accounts: %w", len(accounts), err)
	}
	var (
		id      uuid.UUID
		waiting int
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &waiting}, func() error {
		m.priorities.counted(id, max(0, waiting-inserted[id]), now)
		return nil
	})
	if err != nil {
		return fmt.Errorf("count the waiting orders of %d accounts: %w", len(accounts), err)
	}
	return nil
}
