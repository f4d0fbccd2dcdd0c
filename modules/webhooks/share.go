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

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Slots is the number of concurrent requests to endpoints on a node. They mostly wait for the
// network, so there may be more of them than database connections. Workers is the number of
// concurrent jobs of Queue. It is larger, so that jobs without a slot are snoozed even while
// all slots are waiting.
const (
	Slots   = 100
	Workers = Slots + 28

	ownerSlots    = 25 // of one owner; fewer while others need them
	endpointSlots = 20 // of one endpoint
)

// shares limits the concurrent attempts of one owner and of one endpoint on this node, so that
// slow receivers do not take all slots (SPEC F10). An attempt above the limit gets a time at
// which a slot is expected: with thousands waiting, each comes back a few times, and not all of
// them every second.
type shares struct {
	slots    *bulkhead.Bulkhead[uuid.UUID] // by owner; some slots stay free for other owners
	endpoint int                           // concurrent attempts to one endpoint

	testing, tested *bulkhead.Bulkhead[uuid.UUID] // tests by owner, and by endpoint

	mu        sync.Mutex
	endpoints map[uuid.UUID]*share
	owners    map[uuid.UUID]*share
}

// share holds the attempts of an owner or an endpoint that are under way.
type share struct {
	starts []time.Time
	took   time.Duration // the moving average of the duration of an attempt
	next   time.Time     // until when slots are promised
	late   time.Time     // until when jobs without a promise are snoozed
}

const (
	shortestTry = 10 * time.Millisecond
	// Jobs that would have to wait longer are snoozed for longestWait, because a receiver that
	// hangs may recover; those of one owner return at intervals of latePace.
	longestWait = 5 * time.Second
	latePace    = 10 * time.Millisecond

	testsAtOnce = 3 // per owner; one per endpoint
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

// enter takes a slot, which leave releases. If there is none, it returns how long to wait and
// the reason, an error of package bulkhead.
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

// promise returns the expected time until a slot is free for one more waiting job. An attempt
// that hangs is not part of the average yet, so its age is taken into account.
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

// pace limits how long an owner's jobs are snoozed and how often they return.
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

// enterTest takes a slot for a test: one per endpoint and a few per owner.
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

// ownerOf returns the owner of an endpoint for jobs without an owner, or zero if the endpoint
// no longer exists.
func (m *Module) ownerOf(ctx context.Context, endpoint uuid.UUID) (owner uuid.UUID, err error) {
	err = m.pool.QueryRow(ctx, `select owner_id from webhooks where id = $1`, endpoint).Scan(&owner)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, fmt.Errorf("find the owner of webhook %s: %w", endpoint, err)
	}
	return owner, nil
}
