package auth

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// endedFor is how long a node remembers that a session has ended.
const endedFor = time.Second

// endedSessions remembers the sessions that were refused lately. The token of an ended session has
// a valid signature for up to 15 minutes, so without it each request with such a token would read
// the database, even those that the rate limit refuses afterwards (API4:2023). An ended session
// never becomes valid again. The zero value is ready.
type endedSessions struct {
	mu   sync.Mutex
	seen map[uuid.UUID]time.Time
}

func (e *endedSessions) has(id uuid.UUID, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, known := e.seen[id]
	return known && now.Sub(at) < endedFor
}

func (e *endedSessions) add(id uuid.UUID, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen == nil || len(e.seen) >= remembered {
		e.seen = map[uuid.UUID]time.Time{}
	}
	e.seen[id] = now
}

// callerOfSession returns the caller of a session that a valid access token names. An ended session
// costs one read of the database in a second, which counts as a failed look-up of the address.
func (m *Module) callerOfSession(ctx context.Context, id uuid.UUID, from netip.Addr) (identity.Caller, error) {
	now := time.Now()
	s, cached := m.sessions.memory.get(id, now)
	if cached {
		return s.caller, nil
	}
	if m.ended.has(id, now) {
		return identity.Caller{}, invalidToken()
	}
	s, err := m.read(ctx, id)
	if errors.Is(err, errEnded) {
		m.ended.add(id, now)
		m.failedLookups.add(from, now)
	}
	return s.caller, err
}
