package webhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/bulkhead"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Slots is how many requests to other people's servers a node has under way at once.
// They mostly wait, so it may be more than there are connections. Workers is how many
// jobs of Queue it works: a few more, so that a job that finds no slot is looked at and
// comes back later while all slots hang.
const (
	Slots   = 100
	Workers = Slots + 28
)

// shares limits the concurrent attempts of one owner and of one endpoint on this node, so that
// slow receivers do not take all slots (SPEC F10). An attempt above the limit gets a time at
// which a slot is expected: with thousands waiting, each comes back a few times, and not all of
// them every second.
type shares struct {
	slots    *bulkhead.Bulkhead[uuid.UUID] // by owner; further ones always find some free
	endpoint int                           // tries to one endpoint at once

	testing, tested *bulkhead.Bulkhead[uuid.UUID] // tests by owner, and by endpoint

	mu        sync.Mutex
	endpoints map[uuid.UUID]*share
	owners    map[uuid.UUID]*share
}

// share holds the attempts of an owner or an endpoint that are under way.
type share struct {
	starts []time.Time
	took   time.Duration // a running mean of how long a try takes
	next   time.Time     // until when places are promised
	late   time.Time     // until when those come back that were promised nothing
}

const (
	shortestTry = 10 * time.Millisecond
	// Those who would have to wait longer come back after longestWait, as a receiver that
	// hangs may recover; an owner's one by one with latePace between.
	longestWait = 5 * time.Second
	latePace    = 10 * time.Millisecond

	testsAtOnce = 3 // of one owner; of one endpoint there is one
)

// newShares returns the limits of a node: slots attempts at once, at most owner of them for one
// owner and at most endpoint for one endpoint.
func newShares(slots, owner, endpoint int) *shares {
	tests := func(most int) *bulkhead.Bulkhead[uuid.UUID] {
		return bulkhead.New[uuid.UUID](bulkhead.Options{Slots: slots, PerKey: most})
	}
	return &shares{
		slots:    bulkhead.New[uuid.UUID](bulkhead.Options{Slots: slots, PerKey: owner, Headroom: true}),
		endpoint: endpoint, testing: tests(testsAtOnce), tested: tests(1),
		endpoints: map[uuid.UUID]*share{}, owners: map[uuid.UUID]*share{},
	}
}

// enter takes a place, which leave gives back. Without one it says when to come again,
// and why: the errors are those of a bulkhead.
func (s *shares) enter(owner, endpoint uuid.UUID) (leave func(), wait time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	o, e := shareOf(s.owners, owner), shareOf(s.endpoints, endpoint)
	if len(e.starts) >= s.endpoint {
		return nil, o.pace(now, e.promise(now)), bulkhead.ErrKeyLimit
	}
	release, err := s.slots.TryAcquire(0, owner)
	if err != nil {
		return nil, o.pace(now, o.promise(now)), err
	}
	o.starts, e.starts = append(o.starts, now), append(e.starts, now)
	return func() {
		release()
		s.leave(owner, endpoint, now)
	}, 0, nil
}

func shareOf(all map[uuid.UUID]*share, id uuid.UUID) *share {
	one := all[id]
	if one == nil {
		one = &share{took: shortestTry}
		all[id] = one
	}
	return one
}

func (s *shares) leave(owner, endpoint uuid.UUID, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()

	end(s.owners, owner, began)
	end(s.endpoints, endpoint, began)
}

func end(all map[uuid.UUID]*share, id uuid.UUID, began time.Time) {
	now, one := time.Now(), all[id]
	i := slices.Index(one.starts, began)
	one.starts = slices.Delete(one.starts, i, i+1)
	one.took = max((one.took*3+now.Sub(began))/4, shortestTry)
	if len(one.starts) == 0 && one.next.Before(now) && one.late.Before(now) {
		delete(all, id)
	}
}

// promise says in how long a place should be free, for one more who waits. What hangs has
// taken no time yet that the mean could know, so its age counts as well.
func (s *share) promise(now time.Time) time.Duration {
	took := s.took
	for _, began := range s.starts {
		took = max(took, now.Sub(began))
	}
	if s.next.Before(now) {
		s.next = now
	}
	s.next = s.next.Add(took / time.Duration(max(len(s.starts), 1)))
	return max(s.next.Sub(now), shortestTry)
}

// pace bounds how long and how often an owner's tries come back.
func (s *share) pace(now time.Time, wait time.Duration) time.Duration {
	if wait <= longestWait {
		return wait
	}
	if first := now.Add(longestWait); s.late.Before(first) {
		s.late = first
	}
	s.late = s.late.Add(latePace)
	return s.late.Sub(now)
}

// enterTest takes a place for a test, one at a time of an endpoint and a few of an owner.
func (s *shares) enterTest(owner, endpoint uuid.UUID) (leave func(), err error) {
	one, err := s.tested.TryAcquire(0, endpoint)
	if err != nil {
		return nil, tooManyTests(err, time.Second)
	}
	of, err := s.testing.TryAcquire(0, owner)
	if err != nil {
		one()
		return nil, tooManyTests(err, time.Second)
	}
	slot, wait, err := s.enter(owner, endpoint)
	if err != nil {
		one()
		of()
		return nil, tooManyTests(err, min(wait, longestWait))
	}
	return func() {
		slot()
		of()
		one()
	}, nil
}

func tooManyTests(err error, wait time.Duration) error {
	f := fault.New(fault.KindUnavailable, "busy", "Too many deliveries are in progress; try again.")
	if errors.Is(err, bulkhead.ErrKeyLimit) {
		f = fault.New(fault.KindRateLimited, "too-many-tests", "A test of this webhook is already running, or too many of your webhooks are busy; try again shortly.")
	}
	f.RetryAfter = wait
	return f
}

// ownerOf finds the owner of an endpoint for jobs that do not name it; zero when the
// endpoint is gone.
func (m *Module) ownerOf(ctx context.Context, endpoint uuid.UUID) (owner uuid.UUID, err error) {
	err = m.pool.QueryRow(ctx, `select owner_id from webhooks where id = $1`, endpoint).Scan(&owner)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, fmt.Errorf("find the owner of webhook %s: %w", endpoint, err)
	}
	return owner, nil
}
