// Package reads bounds the expensive reads of a node: pages of the event log, what
// followers catch up on, and statistics. Each of them may take a connection for as long
// as a statement may, so they get a quarter of the pool at most, and one account half of
// that; the accounts take turns (SPEC F10). Reads by a key or of one short page need no
// slot.
package reads

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/bulkhead"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Class is what is read for.
type Class int

// The classes in the order of their precedence; none is passed over twice in a row.
const (
	Page    Class = iota // a request that reads pages of the event log
	Stats                // a request that counts
	CatchUp              // a socket or stream that reads what it missed
)

// Slots is how many expensive reads run at once on a node, and how many of them for
// one account.
const (
	mostSlots = 4
	// How many requests of one account, and of all, wait for a slot. Streams are bounded
	// elsewhere, so all of them may wait.
	pagesPerAccount, pages = 20, 1000
	statsPerAccount, stats = 10, 500
	manyStreams            = 1 << 30
)

// Reads is the bulkhead of one node. It is safe for concurrent use.
type Reads struct {
	slots   *bulkhead.Bulkhead[uuid.UUID]
	account int
}

// New shares out a quarter of the connections of a pool, at least one and at most four.
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

// Do runs read when the account has a slot, within ctx. A request of an account that
// has too many waiting is refused with 429 "too-many-reads", and with 503 "busy" when
// all together have, or when ctx ends before the slot is free.
func (r *Reads) Do(ctx context.Context, class Class, account uuid.UUID, read func() error) error {
	release, err := r.slots.Acquire(ctx, int(class), account)
	switch {
	case errors.Is(err, bulkhead.ErrKeyLimit):
		f := fault.New(fault.RateLimited, "too-many-reads", "Too many reads of this account wait for others of its own; make fewer at once.")
		f.RetryAfter = time.Second
		return f
	case err != nil:
		f := fault.New(fault.Unavailable, "busy", "Too many expensive reads wait just now; try again.")
		f.RetryAfter = time.Second
		return f.Because(err)
	}
	defer release()
	return read()
}
