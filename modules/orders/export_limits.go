package orders

import (
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const (
	exportsAtOnce = 4                // on one node, and no more than a quarter of its connections
	exportsKept   = 2                // of these, reserved for administrators
	exportTime    = 10 * time.Minute // the maximum duration, because a snapshot delays vacuum
	// The minimum average rate at which a client must read, measured over the time in which
	// the export waits for it.
	exportRate      = 64 << 10 // bytes a second
	exportRateAfter = 30 * time.Second
)

// exports limits the concurrent exports of this node (SPEC F10). An account has one at a time.
// Some slots are reserved for administrators.
type exports struct {
	mu       sync.Mutex
	running  map[uuid.UUID]bool // by account
	ordinary int                // exports of accounts that are not administrators
}

// enter takes one of size slots, which leave releases.
func (e *exports) enter(caller identity.Caller, size int) (leave func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()

	if e.running[caller.UserID] {
		return nil, oneExport()
	}
	size = max(size, 2) // at least one slot for each kind of account
	if len(e.running) >= size || !caller.IsAdmin() && e.ordinary >= max(1, size-exportsKept) {
		return nil, fault.New(fault.KindUnavailable, "too-many-exports", "Too many exports are running on this node; try again.").WithRetryAfter(5 * time.Second)
	}
	if e.running == nil {
		e.running = map[uuid.UUID]bool{}
	}
	e.running[caller.UserID] = true
	if !caller.IsAdmin() {
		e.ordinary++
	}
	return func() { e.leave(caller) }, nil
}

func (e *exports) leave(caller identity.Caller) {
	e.mu.Lock()
	defer e.mu.Unlock()

	delete(e.running, caller.UserID)
	if !caller.IsAdmin() {
		e.ordinary--
	}
}

func oneExport() error {
	return fault.New(fault.KindRateLimited, "too-many-exports", "Another export of this account is running; wait until it ends or cancel it.").WithRetryAfter(5 * time.Second)
}

// queueOnly takes an advisory lock that limits the account to one export on all nodes until
// the transaction ends. The lock needs no transaction id.
func queueOnly(b *pgx.Batch, caller identity.Caller, got *bool) {
	b.Queue(`select pg_try_advisory_xact_lock(hashtextextended('export of ' || $1::text, 0))`, caller.UserID.String()).
		QueryRow(func(row pgx.Row) error { return row.Scan(got) })
}
