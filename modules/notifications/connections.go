package notifications

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// The limits of open sockets, event streams and requests that wait for events on a node (SPEC
// F10). An open stream occupies memory, so the limits per account also apply to administrators.
const (
	streamsPerAccount, streamsPerNode = 50, 20_000
	waitsPerAccount, waitsPerNode     = 20, 5_000

	closeOneFirst = 10 * time.Second // Retry-After: only the client itself frees a slot
	nodeIsFull    = 5 * time.Second
)

const (
	classStreams = iota
	classWaits
)

// connections limits the open connections of this node.
type connections struct {
	slots      *bulkhead.Bulkhead[uuid.UUID]
	perAccount int
}

func newConnections(perAccount int) *connections {
	if perAccount == 0 {
		perAccount = streamsPerAccount
	}
	return &connections{perAccount: perAccount, slots: bulkhead.New[uuid.UUID](bulkhead.Options{
		Slots: streamsPerNode + waitsPerNode,
		Classes: []bulkhead.Class{
			classStreams: {Slots: streamsPerNode, PerKey: perAccount},
			classWaits:   {Slots: waitsPerNode, PerKey: waitsPerAccount},
		},
	})}
}

// stream takes a slot for a socket or an event stream of an account.
func (c *connections) stream(account uuid.UUID) (*slot, error) {
	release, err := c.slots.TryAcquire(classStreams, account)
	if err != nil {
		return nil, tooManyStreams(err, "This account has %d open sockets and event streams on this node; close one first.", c.perAccount)
	}
	return &slot{release: release}, nil
}

// wait takes a slot for a request that waits for events.
func (c *connections) wait(account uuid.UUID) (*slot, error) {
	release, err := c.slots.TryAcquire(classWaits, account)
	if err != nil {
		return nil, tooManyStreams(err, "%d requests of this account are waiting for events on this node; try again when one has ended.", waitsPerAccount)
	}
	return &slot{release: release}, nil
}

func tooManyStreams(err error, detail string, limit int) error {
	if errors.Is(err, bulkhead.ErrKeyLimit) {
		return fault.New(fault.KindRateLimited, "too-many-streams", detail, limit).WithRetryAfter(closeOneFirst)
	}
	return fault.New(fault.KindUnavailable, "busy", "This server has the maximum number of open connections; try again.").WithRetryAfter(nodeIsFull)
}

// slot is the slot of one connection. release may be called more than once.
type slot struct {
	release func()
	timer   atomic.Pointer[time.Timer]
}

// expire releases the slot after a time unless keep is called before. It is needed because the
// server closes a connection without notice if it cannot write the response to the handshake in
// time.
func (s *slot) expire(after time.Duration) { s.timer.Store(time.AfterFunc(after, s.release)) }

// keep holds the slot until it is released.
func (s *slot) keep() {
	if t := s.timer.Load(); t != nil {
		t.Stop()
	}
}

// limitedRead runs a read of the log as soon as the account gets a slot for it.
type limitedRead func(ctx context.Context, read func() error) error

func (m *Module) limitedRead(class reads.Class, account uuid.UUID) limitedRead {
	return func(ctx context.Context, read func() error) error { return m.reads.Do(ctx, class, account, read) }
}
