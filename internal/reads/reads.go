// Package reads limits the expensive reads of a node: pages of the event log, catch-up reads of
// subscribers, and statistics. Each of them may occupy a connection for as long as a statement may
// run. Together they therefore get at most a quarter of the pool, and one account at most half of
// that; accounts are served in turn (SPEC F10). Reads by key and reads of one short page need no
// slot.
package reads

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Class is the purpose of a read.
type Class int

// The classes in the order of their precedence. No class is passed over twice in a row.
const (
	Page    Class = iota // a request that reads pages of the event log
	Stats                // a request that computes statistics
	CatchUp              // a socket or stream that reads the events it missed
)

// mostSlots is the maximum number of expensive reads that run at once on a node.
const (
	mostSlots = 4
	// The queue lengths of requests, for one account and for all accounts. The number of streams is
	// limited elsewhere, so each of them may wait.
	pagesPerAccount, pages = 20, 1000
	statsPerAccount, stats = 10, 500
	manyStreams            = 1 << 30
)

// Reads holds the slots of one node. It is safe for concurrent use.
type Reads struct {
	slots   *bulkhead.Bulkhead[uuid.UUID]
	account int
}

// New creates slots for a quarter of the connections of a pool: at least one and at most four.
func New(conns int32) *Reads {
	slots := min(max(int(conns)/4, 1), mostSlots)
	r := &Reads{account: max(slots/2, 1)}
	r.slots = bulkhead.New[uuid.UUID](bulkhead.Options{
		Slots: slots, PerKey: r.account, Burst: 1,
		Classes: []bulkhead.Class{
			Page:    {Queue: pages, QueuePerKey: pagesPerAccount},
			Stats:   {Queue: stats, QueuePerKey: statsPerAccount},
			CatchUp: {Queue: manyStreams},
		},
	})
	return r
}

// Do runs read as soon as the account has a slot. It returns the fault 429 "too-many-reads" when
// too many reads of this account are waiting, and 503 "busy" when too many reads of all accounts
// are waiting or ctx ends before a slot is free.
func (r *Reads) Do(ctx context.Context, class Class, account uuid.UUID, read func() error) error {
	release, err := r.slots.Acquire(ctx, int(class), account)
	switch {
	case errors.Is(err, bulkhead.ErrKeyLimit):
		return fault.New(fault.KindRateLimited, "too-many-reads", "Too many reads of this account wait for others of its own; make fewer at once.").
			WithRetryAfter(time.Second)
	case err != nil:
		return fault.New(fault.KindUnavailable, "busy", "Too many expensive reads wait just now; try again.").WithRetryAfter(time.Second).WithCause(err)
	}
	defer release()
	return read()
}
