// Package bulkhead divides a bounded resource of one process among keys, such as
// accounts or network addresses, so that one key cannot exhaust it for the others.
//
// A bulkhead has a number of slots, and limits for each class of work and each key in
// it. Work that finds no slot waits in a queue of its key; the queues are served round
// robin, so that a key waits for at most one grant of each other key before its own.
package bulkhead

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// Class is a kind of work. Its zero value may use all slots and does not wait.
type Class struct {
	Slots       int // that the class may hold at once; Options.Slots when zero
	PerKey      int // slots that one key may hold at once in this class; Slots when zero
	Queue       int // callers that may wait; none when zero
	QueuePerKey int // callers that may wait for one key; Queue when zero
}

// Options of a Bulkhead.
type Options struct {
	Slots  int // in total; at least one
	PerKey int // slots that one key may hold over all classes; Slots when zero
	// Classes in the order of their precedence; Class{} alone when empty. A class whose
	// Slots are fewer than the total leaves the rest to the others.
	Classes []Class
	// Burst is how many slots in a row may go to classes of higher precedence while a
	// class waits; then it gets one. 8 when zero, so that no class starves.
	Burst int
	// Headroom lets a key take a further slot only while more slots are free than it
	// holds. One key is then left half of the slots at most, a second one half of the
	// rest, and a further one finds a free slot until as many as log2(Slots) are greedy.
	Headroom bool
}

// The reasons for a refusal. ErrKeyLimit is the caller's own doing, and ErrLimit
// everybody's.
var (
	ErrKeyLimit = errors.New("bulkhead: the key has all that one key may have")
	ErrLimit    = errors.New("bulkhead: all slots and places to wait are taken")
)

// Bulkhead is safe for concurrent use.
type Bulkhead[K comparable] struct {
	slots, perKey, burst int
	headroom             bool

	mu      sync.Mutex
	free    int
	holding map[K]int // over all classes
	classes []*class[K]
}

// New makes a bulkhead. It panics without slots.
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

// TryAcquire takes a slot, or refuses at once with ErrKeyLimit or ErrLimit. The slot is
// held until release is called; further calls of it do nothing.
func (b *Bulkhead[K]) TryAcquire(class int, key K) (release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	c := b.classes[class]
	if err := b.refusal(c, key); err != nil {
		return nil, err
	}
	b.take(c, key)
	return b.releaser(c, key), nil
}

// Acquire takes a slot, and waits for one while the queues have room: ErrKeyLimit or
// ErrLimit say that they have not. When all places to wait are taken, the newest caller
// of the key with the most of them gives its place up to a key with fewer. An error of
// ctx says that it ended before the slot was granted.
func (b *Bulkhead[K]) Acquire(ctx context.Context, class int, key K) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	c := b.classes[class]
	full := b.refusal(c, key)
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

// Room tells whether Acquire would be refused at this moment, and why.
func (b *Bulkhead[K]) Room(class int, key K) error {
	b.mu.Lock()
	defer b.mu.Unlock()

	c := b.classes[class]
	full := b.refusal(c, key)
	if full == nil {
		return nil
	}
	_, err := c.place(key, full)
	return err
}

// Usage is how many slots are held, and how many callers wait.
func (b *Bulkhead[K]) Usage() (held, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for _, c := range b.classes {
		waiting += c.waiting
	}
	return b.slots - b.free, waiting
}

// refusal says why a key cannot have a slot now; nil when it can. Nobody who waits
// could have it instead: grant leaves no slot free that somebody could use.
func (b *Bulkhead[K]) refusal(c *class[K], key K) error {
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

// abandon takes a waiter out whose context has ended. A slot that was granted just then
// is given back.
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

// grant gives free slots to those who wait.
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

// choose finds the class whose turn it is among those with a waiter that can be served,
// and that waiter's queue: the first, unless one behind it has been passed over often
// enough.
func (b *Bulkhead[K]) choose() (chosen *class[K], queue *list.Element) {
	for _, c := range b.classes {
		if c.inUse >= c.Slots {
			continue
		}
		e := c.next(func(key K) bool { return b.refusal(c, key) == nil })
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
