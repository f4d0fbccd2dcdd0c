// Package batch gathers what concurrent callers want while the last commit is
// on its way, and runs it as one transaction.
//
// There is no timer: a caller that is alone waits for nobody, and under load the
// time that a commit takes is what fills the next batch. Each caller gets an
// answer of its own, only after COMMIT.
package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// ErrUnknown is the answer to a caller that stopped waiting after its item had
// been taken, and to all of a batch whose function panicked or miscounted, since
// that may have been after COMMIT. Telling such a caller "failed" would be a lie
// (SPEC C2).
var ErrUnknown = errors.New("outcome unknown")

// ErrBusy is the answer to a caller for whom the queue has no room, and ErrStopped
// to one that came after the end. In both cases nothing was done.
var (
	ErrBusy    = errors.New("too many callers are waiting")
	ErrStopped = errors.New("stopped")
)

// Result is one caller's part of what a batch came to.
type Result[R any] struct {
	Value R
	Err   error
}

// Options have working defaults.
type Options struct {
	Max     int           // items in one transaction; 500 when zero
	Queue   int           // callers that may wait; 10,000 when zero
	Timeout time.Duration // for one transaction; 8 s when zero
	Writers int           // batches under way at once; 1 when zero. More than one must sort its keys
	// Alone tells which errors of a whole batch are worth running its items one
	// by one, so that a bad item fails alone. It must be false where the batch
	// may have been committed, and is not asked about ErrUnknown.
	Alone func(error) bool
	// Observe is told the size and duration of each batch.
	Observe func(items int, took time.Duration)
}

// Gatherer turns many calls of Do into few calls of its function.
type Gatherer[T, R any] struct {
	opts  Options
	run   func(ctx context.Context, items []T) ([]Result[R], error)
	queue chan *call[T, R]

	mu      sync.RWMutex // guards stopped against sends on queue
	stopped bool
}

const (
	waiting int32 = iota
	taken
	withdrawn
)

type call[T, R any] struct {
	item  T
	state atomic.Int32
	done  chan struct{}
	Result[R]
}

// New makes a gatherer over run, which must answer with as many results as it
// got items and in their order, or with an error for all. Nothing happens until Run.
func New[T, R any](o Options, run func(ctx context.Context, items []T) ([]Result[R], error)) *Gatherer[T, R] {
	if o.Max == 0 {
		o.Max = 500
	}
	if o.Queue == 0 {
		o.Queue = 10_000
	}
	if o.Timeout == 0 {
		o.Timeout = 8 * time.Second
	}
	if o.Writers == 0 {
		o.Writers = 1
	}
	if o.Alone == nil {
		o.Alone = func(error) bool { return false }
	}
	return &Gatherer[T, R]{opts: o, run: run, queue: make(chan *call[T, R], o.Queue)}
}

// Do hands in an item and waits for its result. When ctx ends first the item is
// taken back, and the context's error says that nothing was done; if it can no
// longer be taken back the error is ErrUnknown, and the item is still in use.
func (g *Gatherer[T, R]) Do(ctx context.Context, item T) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	c := &call[T, R]{item: item, done: make(chan struct{})}
	if err := g.enqueue(c); err != nil {
		return none, err
	}

	select {
	case <-c.done:
		return c.Value, c.Err
	case <-ctx.Done():
	}
	if c.state.CompareAndSwap(waiting, withdrawn) {
		return none, ctx.Err()
	}
	select {
	case <-c.done: // both came at once: what is known is not unknown
		return c.Value, c.Err
	default:
		return none, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
}

func (g *Gatherer[T, R]) enqueue(c *call[T, R]) error {
	g.mu.RLock()
	defer g.mu.RUnlock()

	if g.stopped {
		return ErrStopped
	}
	select {
	case g.queue <- c:
		return nil
	default:
		return ErrBusy
	}
}

// Run works until ctx ends, then answers everybody who is still waiting, and
// returns. Stop those who call Do first.
func (g *Gatherer[T, R]) Run(ctx context.Context) error {
	var writers sync.WaitGroup
	for range g.opts.Writers {
		writers.Go(g.write)
	}

	<-ctx.Done()
	g.mu.Lock()
	g.stopped = true
	close(g.queue)
	g.mu.Unlock()

	writers.Wait()
	return nil
}

func (g *Gatherer[T, R]) write() {
	for first := range g.queue {
		if calls := g.gather(first); len(calls) > 0 {
			g.commit(calls)
		}
	}
}

// gather takes what is waiting right now, and does not wait for more.
func (g *Gatherer[T, R]) gather(first *call[T, R]) []*call[T, R] {
	var calls []*call[T, R]
	if first.state.CompareAndSwap(waiting, taken) {
		calls = append(calls, first)
	}
	for len(calls) < g.opts.Max {
		select {
		case next, open := <-g.queue:
			if !open {
				return calls
			}
			if next.state.CompareAndSwap(waiting, taken) {
				calls = append(calls, next)
			}
		default:
			return calls
		}
	}
	return calls
}

func (g *Gatherer[T, R]) commit(calls []*call[T, R]) {
	results, err := g.attempt(calls)

	if err != nil && len(calls) > 1 && !errors.Is(err, ErrUnknown) && g.opts.Alone(err) {
		for _, c := range calls {
			g.commit([]*call[T, R]{c})
		}
		return
	}
	for i, c := range calls {
		if err != nil {
			c.Err = err
		} else {
			c.Result = results[i]
		}
		close(c.done)
	}
}

func (g *Gatherer[T, R]) attempt(calls []*call[T, R]) (results []Result[R], err error) {
	// The batch belongs to many callers: none of their contexts may end it.
	ctx, cancel := context.WithTimeout(context.Background(), g.opts.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: batch panicked: %v\n%s", ErrUnknown, p, debug.Stack())
		}
	}()

	items := make([]T, len(calls))
	for i, c := range calls {
		items[i] = c.item
	}

	start := time.Now()
	results, err = g.run(ctx, items)
	if g.opts.Observe != nil {
		g.opts.Observe(len(items), time.Since(start))
	}
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("%w: batch of %d answered with %d results", ErrUnknown, len(items), len(results))
	}
	return results, err
}
