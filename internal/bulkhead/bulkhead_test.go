package bulkhead_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
)

// caller is one that has called Acquire.
type caller struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}

	release func()
	err     error
}

// site starts callers one after the other and notes in which order they are served.
type site struct {
	t      *testing.T
	b      *bulkhead.Bulkhead[string]
	mu     sync.Mutex
	served []string
}

// call starts a caller, and returns when it has been served, refused or waits.
func (s *site) call(class int, key, name string) *caller {
	ctx, cancel := context.WithCancel(context.Background())
	c := &caller{name: name, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.release, c.err = s.b.Acquire(ctx, class, key)
		if c.err == nil {
			s.mu.Lock()
			s.served = append(s.served, name)
			s.mu.Unlock()
		}
	}()
	synctest.Wait()
	return c
}

func (c *caller) waits() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func (s *site) order() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.served)
}

// run ends the served callers until no caller waits.
func (s *site) run(all []*caller) {
	for range all {
		synctest.Wait()
		for _, c := range all {
			if !c.waits() && c.err == nil {
				c.release()
				synctest.Wait()
			}
		}
	}
}

func (s *site) want(order ...string) {
	s.t.Helper()
	if got := s.order(); !slices.Equal(got, order) {
		s.t.Errorf("served %v, want %v", got, order)
	}
}

// SPEC F10: one who comes after a hundred callers of another key is next.
func TestKeysAreServedRoundRobin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, b: bulkhead.New[string](bulkhead.Options{Slots: 1, Classes: []bulkhead.Class{{Queue: 1000}}})}
		all := []*caller{s.call(0, "m", "m0")}
		for range 100 {
			all = append(all, s.call(0, "m", "m"))
		}
		all = append(all, s.call(0, "v", "v0"), s.call(0, "v", "v1"), s.call(0, "w", "w0"))
		all[0].release()
		s.run(all[1:])
		if got := s.order()[:6]; !slices.Equal(got, []string{"m0", "m", "v0", "w0", "m", "v1"}) {
			t.Errorf("served %v", got)
		}
		if n := len(s.order()); n != len(all) {
			t.Errorf("%d of %d were served", n, len(all))
		}
		if held, waiting := s.b.Usage(); held+waiting != 0 {
			t.Errorf("%d are held and %d wait in the end", held, waiting)
		}
	})
}

// The first class takes precedence, and the second one does not starve.
func TestClasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, b: bulkhead.New[string](bulkhead.Options{Slots: 1, Burst: 2, Classes: []bulkhead.Class{{Queue: 9}, {Queue: 9}}})}
		all := []*caller{s.call(1, "m", "start")}
		for _, name := range []string{"low1", "low2"} {
			all = append(all, s.call(1, "m", name))
		}
		for _, name := range []string{"high1", "high2", "high3"} {
			all = append(all, s.call(0, "v", name))
		}
		s.run(all)
		s.want("start", "high1", "high2", "low1", "high3", "low2")
	})
}

// A class whose slots are fewer leaves the rest to the others.
func TestReservedSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, b: bulkhead.New[string](bulkhead.Options{Slots: 3, Classes: []bulkhead.Class{{Queue: 9}, {Slots: 2, Queue: 9}}})}
		all := []*caller{s.call(1, "m", "low"), s.call(1, "m", "low"), s.call(1, "m", "waits")}
		if c := s.call(0, "v", "high"); c.waits() || c.err != nil {
			t.Errorf("the reserved slot: %v", c.err)
		}
		s.want("low", "low", "high")
		s.run(all)
	})
}

func TestLimitsOfAKey(t *testing.T) {
	t.Parallel()
	b := bulkhead.New[string](bulkhead.Options{Slots: 3, Classes: []bulkhead.Class{{PerKey: 2}}})
	first, err := b.TryAcquire(0, "m")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.TryAcquire(0, "m"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.TryAcquire(0, "m"); !errors.Is(err, bulkhead.ErrKeyLimit) {
		t.Errorf("a third one of one key: %v", err)
	}
	if _, err := b.TryAcquire(0, "v"); err != nil {
		t.Errorf("another key: %v", err)
	}
	if _, err := b.TryAcquire(0, "w"); !errors.Is(err, bulkhead.ErrLimit) {
		t.Errorf("one more than there are slots: %v", err)
	}
	if _, err := b.Acquire(t.Context(), 0, "w"); !errors.Is(err, bulkhead.ErrLimit) {
		t.Errorf("a wait without a queue: %v", err)
	}
	first()
	first() // is given back once
	if held, _ := b.Usage(); held != 2 {
		t.Errorf("%d are held", held)
	}
}

// A full queue takes a newcomer of a key that has fewer callers there, in the place of
// the newest of the key with the most.
func TestAFullQueueIsSharedToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, b: bulkhead.New[string](bulkhead.Options{Slots: 1, Classes: []bulkhead.Class{{Queue: 3, QueuePerKey: 3}}})}
		held := s.call(0, "m", "m0")
		all := []*caller{s.call(0, "m", "m1"), s.call(0, "m", "m2"), s.call(0, "m", "m3")}
		if c := s.call(0, "m", "m4"); !errors.Is(c.err, bulkhead.ErrKeyLimit) {
			t.Errorf("one more of the same key: %v", c.err)
		}
		if err := s.b.Check(0, "m"); !errors.Is(err, bulkhead.ErrKeyLimit) {
			t.Errorf("room for the same key: %v", err)
		}
		if err := s.b.Check(0, "v"); err != nil {
			t.Errorf("room for another key: %v", err)
		}
		all = append(all, s.call(0, "v", "v1"))
		if !errors.Is(all[2].err, bulkhead.ErrLimit) {
			t.Errorf("the newest of the key with the most: %v", all[2].err)
		}
		if c := s.call(0, "v", "v2"); !errors.Is(c.err, bulkhead.ErrLimit) {
			t.Errorf("as many as the others have: %v", c.err)
		}
		held.release()
		s.run(all)
		s.want("m0", "m1", "v1", "m2")
	})
}

// However many greedy keys there are before it, a new one finds a slot.
func TestHeadroom(t *testing.T) {
	t.Parallel()
	b := bulkhead.New[int](bulkhead.Options{Slots: 100, Classes: []bulkhead.Class{{PerKey: 25}}, Headroom: true})
	held := map[int]int{}
	for key := range 7 {
		for {
			if _, err := b.TryAcquire(0, key); err != nil {
				break
			}
			held[key]++
		}
	}
	if held[0] != 25 || held[6] < 1 {
		t.Errorf("held: %v", held)
	}
	if _, err := b.TryAcquire(0, 99); err != nil {
		t.Errorf("a new key: %v", err)
	}
}

func TestACancelledWaiterTakesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, b: bulkhead.New[string](bulkhead.Options{Slots: 1, Classes: []bulkhead.Class{{Queue: 3}}})}
		held, gone, next := s.call(0, "m", "m"), s.call(0, "m", "gone"), s.call(0, "m", "next")
		gone.cancel()
		synctest.Wait()
		if !errors.Is(gone.err, context.Canceled) {
			t.Errorf("cancelled: %v", gone.err)
		}
		held.release()
		s.run([]*caller{next})
		s.want("m", "next")
		if _, err := s.b.Acquire(cancelled(), 0, "m"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before: %v", err)
		}
	})
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
