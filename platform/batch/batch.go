// Package batch collects the calls that arrive while the previous transaction is being committed,
// and runs them as one transaction.
//
// There is no timer. A caller that arrives alone is served at once; under load the next batch is
// formed by the calls that arrive during a commit. Every caller receives its own result, and only
// after COMMIT.
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

// ErrOutcomeUnknown means that the item may or may not have taken effect. Do returns it when its context
// ends after the item became part of a batch. All items of a batch get it when the function panics
// or returns the wrong number of results, because that may have happened after COMMIT. Reporting a
// failure instead could be wrong (SPEC C2).
var ErrOutcomeUnknown = errors.New("outcome unknown")

// Do returns ErrBusy when the queue is full, and ErrStopped after the end of Run. In both cases
// nothing was done.
var (
	ErrBusy    = errors.New("too many callers are waiting")
	ErrStopped = errors.New("stopped")
)

// Result is the outcome of one item of a batch.
type Result[R any] struct {
	Value R
	Err   error
}

// Options configure a Batcher. Every zero value has a working default.
type Options struct {
	MaxItems    int           // items in one transaction; 500 when zero
	QueueSize   int           // callers that may wait; 10,000 when zero
	Timeout     time.Duration // of one transaction; 8 s when zero
	Concurrency int           // batches that run at once; 1 when zero. With more than one, the function must lock rows in a fixed order
	// RetryIndividually reports whether the items of a batch that failed with this error are run again one by
	// one, so that only the faulty item fails. It must return false if the batch may have been
	// committed. It is not called for ErrOutcomeUnknown.
	RetryIndividually func(error) bool
	// Observe, when set, receives the size and the duration of each batch.
	Observe func(items int, took time.Duration)
}

// Batcher combines concurrent calls of Do into fewer calls of its function.
type Batcher[T, R any] struct {
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

// New returns a gatherer that processes its batches with run. The function must return one result
// for each item, in the order of the items, or an error for the whole batch. Batches are processed
// only while Run is running.
func New[T, R any](o Options, run func(ctx context.Context, items []T) ([]Result[R], error)) *Batcher[T, R] {
	if o.MaxItems == 0 {
		o.MaxItems = 500
	}
	if o.QueueSize == 0 {
		o.QueueSize = 10_000
	}
	if o.Timeout == 0 {
		o.Timeout = 8 * time.Second
	}
	if o.Concurrency == 0 {
		o.Concurrency = 1
	}
	if o.RetryIndividually == nil {
		o.RetryIndividually = func(error) bool { return false }
	}
	return &Batcher[T, R]{opts: o, run: run, queue: make(chan *call[T, R], o.QueueSize)}
}

// Do submits an item and waits for its result. If ctx ends before the item became part of a batch,
// the item is withdrawn and Do returns the error of the context: nothing was done. If ctx ends
// later, the error wraps ErrOutcomeUnknown, and the batch may still be using the item.
func (g *Batcher[T, R]) Do(ctx context.Context, item T) (R, error) {
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
	case <-c.done: // the result and the end of ctx came together: return the result, which is known
		return c.Value, c.Err
	default:
		return none, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
	}
}

func (g *Batcher[T, R]) enqueue(c *call[T, R]) error {
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

// Run processes batches until ctx ends. It then processes the calls that are still queued, rejects
// new ones with ErrStopped, and returns nil. Stop the callers of Do first.
func (g *Batcher[T, R]) Run(ctx context.Context) error {
	var writers sync.WaitGroup
	for range g.opts.Concurrency {
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

func (g *Batcher[T, R]) write() {
	for first := range g.queue {
		if calls := g.gather(first); len(calls) > 0 {
			g.commit(calls)
		}
	}
}

// gather collects the calls that are queued at this moment. It does not wait for more.
func (g *Batcher[T, R]) gather(first *call[T, R]) []*call[T, R] {
	var calls []*call[T, R]
	if first.state.CompareAndSwap(waiting, taken) {
		calls = append(calls, first)
	}
	for len(calls) < g.opts.MaxItems {
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

func (g *Batcher[T, R]) commit(calls []*call[T, R]) {
	results, err := g.attempt(calls)

	if err != nil && len(calls) > 1 && !errors.Is(err, ErrOutcomeUnknown) && g.opts.RetryIndividually(err) {
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

func (g *Batcher[T, R]) attempt(calls []*call[T, R]) (results []Result[R], err error) {
	// A batch belongs to many callers, so the context of none of them may cancel it.
	ctx, cancel := context.WithTimeout(context.Background(), g.opts.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: batch panicked: %v\n%s", ErrOutcomeUnknown, p, debug.Stack())
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
		err = fmt.Errorf("%w: batch of %d answered with %d results", ErrOutcomeUnknown, len(items), len(results))
	}
	return results, err
}
