// Package bulkhead divides a bounded resource of one process among keys, such as accounts or
// network addresses, so that one key cannot exhaust it for the others.
//
// A bulkhead has a number of slots, and limits for each class of work and for each key in a class.
// Work that finds no free slot waits in the queue of its key. The queues are served round robin, so
// that a key waits for at most one grant to each other key before its own.
package bulkhead

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// Class configures a kind of work. The zero value may use all slots and does not queue.
type Class struct {
	Slots       int // slots that the class may hold at once; Options.Slots when zero
	PerKey      int // slots that one key may hold at once in this class; Slots when zero
	Queue       int // callers that may wait; none when zero
	QueuePerKey int // callers that may wait for one key; Queue when zero
}

// Options configure a Bulkhead.
type Options struct {
	Slots  int // total number of slots; at least one
	PerKey int // slots that one key may hold over all classes; Slots when zero
	// Classes are listed in the order of their precedence; a single Class{} when empty. A class
	// with fewer Slots than the total leaves the remaining ones to the other classes.
	Classes []Class
	// Burst is the number of consecutive slots that may go to classes of higher precedence while
	// another class waits; the waiting class gets the next one. 8 when zero. It prevents
	// starvation.
	Burst int
	// Headroom gives a key a further slot only while more slots are free than the key holds. One
	// key then gets at most half of the slots, a second key at most half of the rest, and a new key
	// finds a free slot until about log2(Slots) keys take all that they can.
	Headroom bool
}

// ErrKeyLimit means that the key itself has reached its limit. ErrLimit means that all keys
// together have exhausted the slots and the queue.
var (
	ErrKeyLimit = errors.New("bulkhead: the key has all that one key may have")
	ErrLimit    = errors.New("bulkhead: all slots and places to wait are taken")
)

// Bulkhead grants slots to keys. It is safe for concurrent use.
type Bulkhead[K comparable] struct {
	slots, perKey, burst int
	headroom             bool

	mu      sync.Mutex
	free    int
	holding map[K]int // slots held by each key in all classes
	classes []*class[K]
}

// New returns a bulkhead. It panics when Options.Slots is below one.
func New[K comparable](o Options) *Bulkhead[K] {
	if o.Slots < 1 {
		panic("bulkhead: no slots")
	}
	if len(o.Classes) == 0 {
		o.Classes = []Class{{}}
	}
	if o.Burst == 0 {
		o.Burst = 8
	}
	if o.PerKey == 0 {
		o.PerKey = o.Slots
	}
	b := &Bulkhead[K]{slots: o.Slots, perKey: o.PerKey, burst: o.Burst, headroom: o.Headroom, free: o.Slots, holding: map[K]int{}}
	for _, c := range o.Classes {
		b.classes = append(b.classes, newClass[K](c, o.Slots))
	}
	return b
}

// TryAcquire takes a slot or returns ErrKeyLimit or ErrLimit without waiting. The slot is held
// until release is called; further calls of release have no effect.
func (b *Bulkhead[K]) TryAcquire(class int, key K) (release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	c := b.classes[class]
	if err := b.limitError(c, key); err != nil {
		return nil, err
	}
	b.take(c, key)
	return b.releaser(c, key), nil
}

// Acquire takes a slot, and waits for one if the queue has space; otherwise it returns ErrKeyLimit
// or ErrLimit. When the queue is full, the newest caller of the key with the most waiting callers
// is removed in favour of a key with fewer, and gets ErrLimit. An error of ctx means that ctx ended
// before a slot was granted. Release works as for TryAcquire.
func (b *Bulkhead[K]) Acquire(ctx context.Context, class int, key K) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	c := b.classes[class]
	full := b.limitError(c, key)
	if full == nil {
		b.take(c, key)
		b.mu.Unlock()
		return b.releaser(c, key), nil
	}
	w, err := c.enqueue(key, full)
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}

	select {
	case err = <-w.done:
	case <-ctx.Done():
		err = b.abandon(c, w, ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	return b.releaser(c, key), nil
}

// Check reports whether a call of Acquire would be rejected at this moment, and with which error. It
// takes no slot.
func (b *Bulkhead[K]) Check(class int, key K) error {
	b.mu.Lock()
	defer b.mu.Unlock()

	c := b.classes[class]
	full := b.limitError(c, key)
	if full == nil {
		return nil
	}
	_, err := c.findPlace(key, full)
	return err
}

// Usage returns the number of slots in use and the number of waiting callers.
func (b *Bulkhead[K]) Usage() (held, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for _, c := range b.classes {
		waiting += c.waiting
	}
	return b.slots - b.free, waiting
}

// limitError returns the reason why key cannot get a slot now, or nil. No waiting caller could use a
// slot that refusal finds free, because grant assigns every usable slot at once.
func (b *Bulkhead[K]) limitError(c *class[K], key K) error {
	switch {
	case c.held[key] >= c.PerKey, b.holding[key] >= b.perKey:
		return ErrKeyLimit
	case b.free == 0, c.inUse >= c.Slots, b.headroom && b.holding[key] >= b.free:
		return ErrLimit
	}
	return nil
}

func (b *Bulkhead[K]) take(c *class[K], key K) {
	b.free--
	b.holding[key]++
	c.inUse++
	c.held[key]++
}

func (b *Bulkhead[K]) releaser(c *class[K], key K) func() {
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()

		b.free++
		c.inUse--
		decrease(b.holding, key)
		decrease(c.held, key)
		b.grant()
	})
}

func decrease[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// abandon removes a waiter after its context ended, and returns why. It releases a slot that was
// granted at the same moment.
func (b *Bulkhead[K]) abandon(c *class[K], w *waiter[K], why error) error {
	b.mu.Lock()
	removed := c.remove(w)
	b.mu.Unlock()
	if removed {
		return why
	}
	if err := <-w.done; err != nil {
		return err
	}
	b.releaser(c, w.key)()
	return why
}

// grant assigns free slots to waiting callers until none of them can use one.
func (b *Bulkhead[K]) grant() {
	for b.free > 0 {
		c, e := b.choose()
		if c == nil {
			return
		}
		w := c.serve(e)
		b.take(c, w.key)
		w.done <- nil
	}
}

// choose returns the class to serve next and the queue of the key to serve in it, or nil. It is the
// first class with a waiter that can be served, unless a later class has been passed over more than
// burst times.
func (b *Bulkhead[K]) choose() (chosen *class[K], queue *list.Element) {
	for _, c := range b.classes {
		if c.inUse >= c.Slots {
			continue
		}
		e := c.next(func(key K) bool { return b.limitError(c, key) == nil })
		if e == nil {
			continue
		}
		c.passed++
		if chosen == nil || c.passed > b.burst && chosen.passed <= c.passed {
			chosen, queue = c, e
		}
	}
	if chosen != nil {
		chosen.passed = 0
	}
	return chosen, queue
}
