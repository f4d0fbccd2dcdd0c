package auth

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/wakeup"
)

// Sessions ends sessions and spreads the word. It exists apart from Module so that
// whoever keeps the accounts can be made before the module that needs them.
type Sessions struct {
	pool    *postgres.Pool
	log     *slog.Logger
	memory  *memory
	uses    uses
	wakeups wakeup.Signal
	wake    func()

	mu        sync.Mutex
	announced map[change]time.Time // by when they were last seen
	listeners []func(userID, sessionID uuid.UUID)
}

// NewSessions makes the sessions of one process, for New and for the accounts.
func NewSessions(pool *postgres.Pool, log *slog.Logger) *Sessions {
	return &Sessions{
		pool:      pool,
		log:       log,
		memory:    newMemory(),
		wakeups:   wakeup.New(),
		wake:      func() {},
		announced: map[change]time.Time{},
	}
}

// EndAll ends every session of a user, as part of the transaction that gives the
// reason. Call it after writing the account's row: a log-in that is under way
// either waits for that row and is refused, or is done and ended here.
func (s *Sessions) EndAll(ctx context.Context, tx pgx.Tx, userID uuid.UUID, reason string) error {
	_, err := tx.Exec(ctx, `
		update sessions set ended_at = now(), expires_at = least(expires_at, now()), end_reason = $2
		where user_id = $1 and ended_at is null`, userID, reason)
	if err != nil {
		return fmt.Errorf("end the sessions of %s: %w", userID, err)
	}
	return s.Announce(ctx, tx, userID)
}

// Announce says that a user's standing changed in this transaction, such as the
// role. Sessions live on; what remembers them looks again.
func (s *Sessions) Announce(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error {
	if _, err := tx.Exec(ctx, "insert into revocations (user_id) values ($1)", userID); err != nil {
		return fmt.Errorf("announce the change of %s: %w", userID, err)
	}
	return nil
}

// Committed is called after the transaction of EndAll or Announce: the next
// request on this node sees the change, and the other nodes are told to look.
func (s *Sessions) Committed(_ context.Context, userID uuid.UUID) { s.changed(userID, uuid.Nil) }

func (s *Sessions) changed(userID, sessionID uuid.UUID) {
	s.memory.evict(userID, sessionID)
	s.look()
	s.wake()
}

// endOne ends a session of a user; false when it was none, or over already.
func (s *Sessions) endOne(ctx context.Context, tx pgx.Tx, userID, sessionID uuid.UUID, reason string) (bool, error) {
	tag, err := tx.Exec(ctx, `
		update sessions set ended_at = now(), expires_at = least(expires_at, now()), end_reason = $3
		where id = $2 and user_id = $1 and ended_at is null and expires_at > now()`, userID, sessionID, reason)
	if err != nil || tag.RowsAffected() == 0 {
		return false, wrap(err, sessionID)
	}
	_, err = tx.Exec(ctx, "insert into revocations (user_id, session_id) values ($1, $2)", userID, sessionID)
	return err == nil, wrap(err, sessionID)
}

func wrap(err error, sessionID uuid.UUID) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("end session %s: %w", sessionID, err)
}

func (s *Sessions) listen(listener func(userID, sessionID uuid.UUID)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, listener)
}
