package bulkhead

import (
	"container/list"
	"slices"
)

// class is the state of a Class. Bulkhead.mu guards it.
type class[K comparable] struct {
	Class
	inUse   int
	held    map[K]int
	passed  int // grants to other classes since the last one to this class, while it waited
	waiting int
	ring    *list.List // of *queue[K]: the keys with waiting callers, the next one to serve first
	queues  map[K]*list.Element
}

// queue holds the waiting callers of one key, in the order of their arrival.
type queue[K comparable] struct {
	key     K
	waiters []*waiter[K]
}

type waiter[K comparable] struct {
	key  K
	done chan error // receives nil with the slot, or the error when the waiter is removed
}

func newClass[K comparable](c Class, slots int) *class[K] {
	if c.Slots == 0 {
		c.Slots = slots
	}
	if c.PerKey == 0 {
		c.PerKey = c.Slots
	}
	if c.QueuePerKey == 0 {
		c.QueuePerKey = c.Queue
	}
	return &class[K]{Class: c, held: map[K]int{}, ring: list.New(), queues: map[K]*list.Element{}}
}

func queueIn[K comparable](e *list.Element) *queue[K] { return e.Value.(*queue[K]) }

func (c *class[K]) waitingFor(key K) int {
	if e := c.queues[key]; e != nil {
		return len(queueIn[K](e).waiters)
	}
	return 0
}

// findPlace reports whether one more caller may wait for key, and which waiter has to be removed for
// it. The argument full is the reason why the key got no slot.
func (c *class[K]) findPlace(key K, full error) (victim *waiter[K], err error) {
	own := c.waitingFor(key)
	switch {
	case c.Queue == 0:
		return nil, full
	case own >= c.QueuePerKey:
		return nil, ErrKeyLimit
	case c.waiting < c.Queue:
		return nil, nil //nolint:nilnil // the queue has space, so no waiter is removed
	}
	var most []*waiter[K]
	for e := c.ring.Front(); e != nil; e = e.Next() {
		if q := queueIn[K](e); len(q.waiters) > len(most) {
			most = q.waiters
		}
	}
	if len(most) <= own+1 {
		return nil, ErrLimit
	}
	return most[len(most)-1], nil
}

func (c *class[K]) enqueue(key K, full error) (*waiter[K], error) {
	victim, err := c.findPlace(key, full)
	if err != nil {
		return nil, err
	}
	if victim != nil {
		c.remove(victim)
		victim.done <- ErrLimit
	}
	e := c.queues[key]
	if e == nil {
		e = c.ring.PushBack(&queue[K]{key: key})
		c.queues[key] = e
	}
	w := &waiter[K]{key: key, done: make(chan error, 1)}
	q := queueIn[K](e)
	q.waiters = append(q.waiters, w)
	c.waiting++
	return w, nil
}

// remove takes a waiter out of its queue. It returns false if the waiter is no longer queued.
func (c *class[K]) remove(w *waiter[K]) bool {
	e := c.queues[w.key]
	if e == nil {
		return false
	}
	at := slices.Index(queueIn[K](e).waiters, w)
	if at < 0 {
		return false
	}
	c.removeAt(e, at)
	return true
}

func (c *class[K]) removeAt(e *list.Element, at int) *waiter[K] {
	q := queueIn[K](e)
	w := q.waiters[at]
	q.waiters = slices.Delete(q.waiters, at, at+1)
	c.waiting--
	if len(q.waiters) == 0 {
		c.ring.Remove(e)
		delete(c.queues, q.key)
	}
	return w
}

// next returns the first key in the ring that is allowed to take a slot.
func (c *class[K]) next(may func(K) bool) *list.Element {
	for e := c.ring.Front(); e != nil; e = e.Next() {
		if may(queueIn[K](e).key) {
			return e
		}
	}
	return nil
}

// serve takes out the first waiter of a key and moves the key to the end of the ring.
func (c *class[K]) serve(e *list.Element) *waiter[K] {
	c.ring.MoveToBack(e)
	return c.removeAt(e, 0)
}
