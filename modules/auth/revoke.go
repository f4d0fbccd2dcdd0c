package auth

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/wakeup"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	defaultMaxAge     = 90 * 24 * time.Hour
	defaultPerAccount = 50
)

// Sessions ends sessions and announces changes. It is separate from Module so that the accounts,
// which end sessions, can be built before the module that needs the accounts.
type Sessions struct {
	pool    *postgres.Pool
	log     *slog.Logger
	memory  *memory
	uses    uses
	wakeups wakeup.Signal
	wake    func()

	maxAge     time.Duration // from the log-in to the end of a session
	perAccount int           // sessions of one account

	mu        sync.Mutex
	announced map[change]time.Time // with the time when they were last seen
	listeners []func(userID, sessionID uuid.UUID)
}

// NewSessions returns the Sessions of one process, for New and for the users module.
func NewSessions(pool *postgres.Pool, log *slog.Logger) *Sessions {
	return &Sessions{
		pool:       pool,
		log:        log,
		memory:     newMemory(),
		wakeups:    wakeup.New(),
		wake:       func() {},
		maxAge:     defaultMaxAge,
		perAccount: defaultPerAccount,
		announced:  map[change]time.Time{},
	}
}

// EndAll ends every session of a user in the transaction of the change that causes it. Call it
// after writing the account's row: a concurrent login either waits for that row and fails, or
// is complete and its session ends here.
func (s *Sessions) EndAll(ctx context.Context, tx pgx.Tx, userID uuid.UUID, reason string) error {
	return s.endExcept(ctx, tx, userID, uuid.Nil, reason)
}

// endExcept is EndAll except for one session, or none if keep is zero.
func (s *Sessions) endExcept(ctx context.Context, tx pgx.Tx, userID, keep uuid.UUID, reason string) error {
	if err := lockSessions(ctx, tx, userID); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `
		update sessions set ended_at = now(), expires_at = least(expires_at, now()), end_reason = $2
		where user_id = $1 and id <> $3 and ended_at is null`, userID, reason, keep)
	if err != nil {
		return fmt.Errorf("end the sessions of %s: %w", userID, err)
	}
	if n := tag.RowsAffected(); n > 0 {
		ended := audit.Entry{Action: sessionsEnded, Subject: userID.String(), User: userID, Changes: []audit.Change{audit.Now("reason", reason), audit.Now("sessions", n)}}
		if err := audit.Record(ctx, tx, ended); err != nil {
			return err
		}
	}
	return s.Announce(ctx, tx, userID)
}

// RevokeKeys revokes all API keys of a user in the transaction of the change that causes it. Call
// it after the sessions were ended: a concurrent request that creates a key either finds its
// session ended, or is complete and its key is revoked here.
func (s *Sessions) RevokeKeys(ctx context.Context, tx pgx.Tx, userID uuid.UUID, reason string) error {
	if err := lockKeys(ctx, tx, userID); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, "update api_keys set revoked_at = now() where user_id = $1 and revoked_at is null returning "+keyColumns, userID)
	if err != nil {
		return fmt.Errorf("revoke the keys of %s: %w", userID, err)
	}
	revoked, err := pgx.CollectRows(rows, scanKey)
	if err != nil {
		return fmt.Errorf("revoke the keys of %s: %w", userID, err)
	}
	for _, k := range revoked {
		if err := recordKey(ctx, tx, keyRevoked, userID, k, audit.Now("reason", reason)); err != nil {
			return err
		}
	}
	return s.Announce(ctx, tx, userID)
}

// Announce records in this transaction that the role or activity of an account changed. Its
// sessions stay open; every node reads their status again.
func (s *Sessions) Announce(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error {
	if _, err := tx.Exec(ctx, "insert into revocations (user_id) values ($1)", userID); err != nil {
		return fmt.Errorf("announce the change of %s: %w", userID, err)
	}
	return nil
}

// Committed is called after the transaction of EndAll or Announce: the next request on this
// node sees the change, and the other nodes are woken.
func (s *Sessions) Committed(_ context.Context, userID uuid.UUID) { s.changed(userID, uuid.Nil) }

func (s *Sessions) changed(userID, sessionID uuid.UUID) {
	s.memory.evict(userID, sessionID)
	s.look()
	s.wake()
}

// endOne ends a session of a user. It returns false for an unknown or ended session.
func (s *Sessions) endOne(ctx context.Context, tx pgx.Tx, userID, sessionID uuid.UUID, reason string) (bool, error) {
	tag, err := tx.Exec(ctx, `
		update sessions set ended_at = now(), expires_at = least(expires_at, now()), end_reason = $3
		where id = $2 and user_id = $1 and ended_at is null and expires_at > now()`, userID, sessionID, reason)
	if err != nil || tag.RowsAffected() == 0 {
		return false, wrap(err, sessionID)
	}
	if err := recordSession(ctx, tx, sessionEnded, userID, sessionID, audit.Now("reason", reason)); err != nil {
		return false, err
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
