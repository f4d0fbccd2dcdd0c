package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const maxKeys = 25 // of one account, unless Deps has another number

func invalidAPIKey() *fault.Error {
	return refusal("invalid-api-key", "The API key is not valid, or no longer.")
}

// apiKey is a row of api_keys, without the hashes.
type apiKey struct {
	id            uuid.UUID
	name          string
	scopes        []identity.Scope
	createdAt     time.Time
	rotatedAt     *time.Time
	previousUntil *time.Time
	lastUsedAt    *time.Time
	expiresAt     *time.Time
}

const keyColumns = `id, name, scopes, created_at, rotated_at,
	case when previous_until > now() then previous_until end, last_used_at, expires_at`

func scanKey(row pgx.CollectableRow) (k apiKey, err error) {
	err = row.Scan(&k.id, &k.name, &k.scopes, &k.createdAt, &k.rotatedAt, &k.previousUntil, &k.lastUsedAt, &k.expiresAt)
	return k, err
}

// callerOf is who a presented key stands for. Made-up, mistyped, expired and revoked
// keys are one and the same 401, as are those of accounts that are not active.
func (m *Module) callerOf(ctx context.Context, key string, from netip.Addr) (identity.Caller, error) {
	id, hash, ok := parseAPIKey(key)
	if !ok {
		return identity.Caller{}, invalidAPIKey()
	}
	now := time.Now()
	s, known := m.sessions.memory.get(id, now)
	if !known || !s.matches(hash, now) { // it may have been rotated a moment ago
		var err error
		if s, err = m.lookUp(ctx, id, hash, from, now); err != nil {
			return identity.Caller{}, err
		}
	}
	m.sessions.uses.note(id, now)
	return s.caller, nil
}

// lookUp reads a key from the database, unless too many from there were looked up
// in vain.
func (m *Module) lookUp(ctx context.Context, id uuid.UUID, hash keyHash, from netip.Addr, now time.Time) (status, error) {
	if !m.failedLookups.good.Contains(hash) {
		if err := m.failedLookups.refuse(from, now); err != nil {
			return status{}, err
		}
	}
	s, err := m.read(ctx, id)
	switch {
	case fault.Is(err, "invalid-token") || err == nil && !s.matches(hash, now):
		m.failedLookups.good.Remove(hash)
		m.failedLookups.add(from, now)
		return status{}, invalidAPIKey()
	case err != nil:
		return status{}, err
	}
	m.failedLookups.good.Add(hash, struct{}{})
	return s, nil
}

// createKey makes a key of the caller's; secret is the one time that it is seen.
func (m *Module) createKey(ctx context.Context, c identity.Caller, name string, scopes identity.ScopeSet, expires *time.Time) (k apiKey, secret string, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return apiKey{}, "", err
	}
	secret, hash := newAPIKey(id)
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := m.roomForKey(ctx, tx, c); err != nil {
			return err
		}
		if expires != nil {
			if err := announce(ctx, tx, c.UserID, id, *expires); err != nil {
				return err
			}
		}
		k, err = oneKey(ctx, tx, `
			insert into api_keys (id, user_id, name, scopes, hash, created_at, expires_at)
			values ($1, $2, $3, $4, $5, now(), $6) returning `+keyColumns, id, c.UserID, name, scopes.List(), hash[:], expires)
		if err != nil {
			return err
		}
		if err := recordKey(ctx, tx, keyCreated, c.UserID, k); err != nil {
			return err
		}
		return m.notices.Notify(ctx, tx, c.UserID, NoticeKeyCreated, keyFacts(ctx, id))
	})
	if err != nil {
		return apiKey{}, "", err
	}
	m.log.InfoContext(ctx, "api key created", "key_id", id, "user_id", c.UserID)
	return k, secret, nil
}

// roomForKey counts the keys of an account under a lock, so that concurrent requests cannot
// exceed the limit. It refuses a caller whose session has ended since it was checked, perhaps with
// the account and all of its keys.
func (m *Module) roomForKey(ctx context.Context, tx pgx.Tx, c identity.Caller) error {
	if err := lockKeys(ctx, tx, c.UserID); err != nil {
		return err
	}
	var n int
	var live bool
	err := tx.QueryRow(ctx, `
		select (select count(*) from api_keys where user_id = $1 and revoked_at is null),
			exists (select from sessions where id = $2 and user_id = $1 and ended_at is null and expires_at > now())`,
		c.UserID, c.SessionID).Scan(&n, &live)
	if err != nil {
		return fmt.Errorf("count the keys of %s: %w", c.UserID, err)
	}
	if !live {
		return invalidToken()
	}
	if n >= m.maxKeys {
		return fault.New(fault.KindConflict, "too-many-keys", "You have %d API keys, which is the maximum; delete one first.", n)
	}
	return nil
}

// lockKeys serialises the transactions that create keys of an account or revoke all of them.
func lockKeys(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error {
	return postgres.Lock(ctx, tx, "api keys of "+userID.String())
}

// rotateKey gives a key another secret. The one before it stays good for the grace,
// and no longer: a third one is never good.
func (m *Module) rotateKey(ctx context.Context, c identity.Caller, id uuid.UUID, grace time.Duration) (k apiKey, secret string, err error) {
	secret, hash := newAPIKey(id)
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		k, err = oneKey(ctx, tx, `
			update api_keys set hash = $3, previous_hash = hash, previous_until = now() + $4::interval, rotated_at = now()
			where id = $2 and user_id = $1 and revoked_at is null returning `+keyColumns, c.UserID, id, hash[:], grace)
		if err != nil {
			return err
		}
		if k.expiresAt != nil && !time.Now().Before(*k.expiresAt) {
			return fault.New(fault.KindConflict, "key-expired", "The API key has expired; create another one.")
		}
		if err := recordKey(ctx, tx, keyRotated, c.UserID, k); err != nil {
			return err
		}
		if err := m.notices.Notify(ctx, tx, c.UserID, NoticeKeyRotated, keyFacts(ctx, id)); err != nil {
			return err
		}
		if err := announce(ctx, tx, c.UserID, id, time.Time{}); err != nil || k.previousUntil == nil {
			return err
		}
		return announce(ctx, tx, c.UserID, id, *k.previousUntil)
	})
	m.sessions.changed(c.UserID, id)
	if err != nil {
		return apiKey{}, "", err
	}
	m.log.InfoContext(ctx, "api key rotated", "key_id", id, "user_id", c.UserID)
	return k, secret, nil
}

// revokeKey ends a key of an account; 404 when it is not one of the account's that lives.
func (m *Module) revokeKey(ctx context.Context, userID, id uuid.UUID) error {
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		k, err := oneKey(ctx, tx, `
			update api_keys set revoked_at = now()
			where id = $2 and user_id = $1 and revoked_at is null returning `+keyColumns, userID, id)
		if err != nil {
			return err
		}
		if err := recordKey(ctx, tx, keyRevoked, userID, k); err != nil {
			return err
		}
		return announce(ctx, tx, userID, id, time.Time{})
	})
	m.sessions.changed(userID, id)
	if err == nil {
		m.log.InfoContext(ctx, "api key revoked", "key_id", id, "user_id", userID)
	}
	return err
}

// key is one of the caller's, expired ones included.
func (m *Module) key(ctx context.Context, c identity.Caller, id uuid.UUID) (apiKey, error) {
	return oneKey(ctx, m.pool, "select "+keyColumns+" from api_keys where user_id = $1 and id = $2 and revoked_at is null", c.UserID, id)
}

// keys are those of an account, newest first, from behind the given id on.
func (m *Module) keys(ctx context.Context, userID, before uuid.UUID, limit int) ([]apiKey, error) {
	rows, err := m.pool.Query(ctx, "select "+keyColumns+` from api_keys
		where user_id = $1 and revoked_at is null and ($2::uuid = '00000000-0000-0000-0000-000000000000' or id < $2)
		order by id desc limit $3`, userID, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list the keys of %s: %w", userID, err)
	}
	return pgx.CollectRows(rows, scanKey)
}

func oneKey(ctx context.Context, q postgres.Querier, sql string, args ...any) (apiKey, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return apiKey{}, fmt.Errorf("api key: %w", err)
	}
	k, err := pgx.CollectExactlyOneRow(rows, scanKey)
	if errors.Is(err, pgx.ErrNoRows) {
		return apiKey{}, fault.NotFound("API key")
	}
	if err != nil {
		return apiKey{}, fmt.Errorf("api key: %w", err)
	}
	return k, nil
}

// announce notifies all nodes that the status of a key changes: at that time, or now when it is
// past.
func announce(ctx context.Context, tx pgx.Tx, userID, key uuid.UUID, at time.Time) error {
	_, err := tx.Exec(ctx, "insert into revocations (user_id, session_id, at) values ($1, $2, greatest($3, clock_timestamp()))", userID, key, at)
	if err != nil {
		return fmt.Errorf("announce the change of key %s: %w", key, err)
	}
	return nil
}
