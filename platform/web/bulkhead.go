package web

import (
	"context"
	"sync"
	"time"

	"orderflow/platform/fault"
)

// Both waits together are less than a route's deadline.
const (
	judgesPerNode = 4 // large bodies that are judged at once
	callerWait    = 3 * time.Second
	judgeWait     = 1500 * time.Millisecond
)

// bulkhead keeps large bodies from taking the process over: one for each caller is
// received and judged at a time, and a few in all are judged.
type bulkhead struct {
	node chan struct{}

	mu      sync.Mutex
	callers map[string]*place
}

type place struct {
	taken   chan struct{}
	waiting int
}

func newBulkhead() *bulkhead {
	return &bulkhead{node: make(chan struct{}, judgesPerNode), callers: map[string]*place{}}
}

// enter waits until the caller's other large bodies are judged. Nothing of this one is
// read meanwhile. It fails with a 429; else leave must be called, once.
func (b *bulkhead) enter(ctx context.Context, caller string) (leave func(), err error) {
	b.mu.Lock()
	p := b.callers[caller]
	if p == nil {
		p = &place{taken: make(chan struct{}, 1)}
		b.callers[caller] = p
	}
	p.waiting++
	b.mu.Unlock()
	forget := func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if p.waiting--; p.waiting == 0 {
			delete(b.callers, caller)
		}
	}

	if !acquire(ctx, p.taken, callerWait) {
		forget()
		f := fault.New(fault.RateLimited, "too-many-bodies", "Another large request of yours is being read; wait for it.")
		f.RetryAfter = time.Second
		return nil, f
	}
	return func() { <-p.taken; forget() }, nil
}

// judge waits for a place among those of all callers. It fails with a 503; else leave
// must be called, once.
func (b *bulkhead) judge(ctx context.Context) (leave func(), err error) {
	if !acquire(ctx, b.node, judgeWait) {
		return nil, busy()
	}
	return func() { <-b.node }, nil
}

func acquire(ctx context.Context, places chan struct{}, wait time.Duration) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	select {
	case places <- struct{}{}:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}
