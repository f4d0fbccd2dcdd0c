package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

const (
	// maxAge is how long a cached status counts after the last successful poll of the revocations
	// began. A change that commits right after a poll therefore takes effect within this time even if
	// the next poll fails; SPEC A5 allows 1 s.
	maxAge     = 900 * time.Millisecond
	maxReadAge = 30 * time.Second // for one cached status, regardless of polls
	remembered = 50_000           // sessions and keys; about 250 bytes each
)

// CurrentCaller returns the caller of a session or API key with the role that the account has
// now, for what outlives its request. It is a 401 "invalid-token" if the credential is invalid or
// the account is not active or has a restriction. A
// cached status costs a map look-up; otherwise it costs two reads of the database.
func (m *Module) CurrentCaller(ctx context.Context, credential uuid.UUID) (identity.Caller, error) {
	s, ok := m.sessions.memory.get(credential, time.Now())
	if !ok {
		var err error
		if s, err = m.read(ctx, credential); err != nil {
			return identity.Caller{}, err
		}
	}
	if s.caller.Restriction != identity.Unrestricted {
		return identity.Caller{}, invalidToken()
	}
	return s.caller, nil
}

// errEnded is the cause of a refusal that is final: the session or key is unknown, or has ended.
var errEnded = errors.New("unknown or ended")

// read reads the status from the database and caches it.
func (m *Module) read(ctx context.Context, credential uuid.UUID) (status, error) {
	memory := m.sessions.memory
	began := memory.generation()
	s := status{read: time.Now()}
	err := s.scan(m.pool.QueryRow(ctx, readEither, credential, m.sessions.maxAge), credential)
	if errors.Is(err, pgx.ErrNoRows) {
		return status{}, invalidToken().WithCause(errEnded)
	}
	if err != nil {
		return status{}, fmt.Errorf("read credential %s: %w", credential, err)
	}
	account, err := m.accounts.Account(ctx, s.caller.UserID)
	if err != nil {
		return status{}, err
	}
	if !account.Active {
		return status{}, invalidToken()
	}

	if account.Restriction, err = m.restrictionOf(ctx, s.caller.UserID, account); err != nil {
		return status{}, err
	}
	s.caller.Role, s.caller.Restriction = account.Role, account.Restriction
	memory.put(s, began)
	return s, nil
}

// One statement for sessions and keys, so that a caller with an id, such as a ticket, need not
// know its kind.
const readEither = `
	select false, user_id, least(expires_at, created_at + $2::interval), null::text[], null::bytea, null::bytea, null::timestamptz,
		greatest(created_at, confirmed_at) from sessions
	where id = $1 and ended_at is null and least(expires_at, created_at + $2::interval) > now()
	union all
	select true, user_id, coalesce(expires_at, now() + interval '100 years'), scopes, hash, previous_hash, previous_until, null::timestamptz from api_keys
	where id = $1 and revoked_at is null and (expires_at is null or expires_at > now())`

// status is the cached status of a session or API key.
type status struct {
	caller  identity.Caller
	expires time.Time
	read    time.Time // when the read began
	proofs  []proof   // of a key: the secret, and the previous one while it is valid
}

// proof is a valid secret of a key.
type proof struct {
	hash  []byte
	until time.Time
}

func (s *status) scan(row pgx.Row, credential uuid.UUID) error {
	var (
		isKey           bool
		scopes          []identity.Scope
		hash, previous  []byte
		previouslyUntil *time.Time
		passwordAt      *time.Time
	)
	err := row.Scan(&isKey, &s.caller.UserID, &s.expires, &scopes, &hash, &previous, &previouslyUntil, &passwordAt)
	if err != nil {
		return err
	}
	if !isKey {
		s.caller.SessionID, s.caller.PasswordAt = credential, *passwordAt // every session begins with a password
		return nil
	}
	s.caller.KeyID, s.caller.Scopes = credential, identity.ScopesOf(scopes...)
	s.proofs = []proof{{hash, s.expires}}
	if previouslyUntil != nil {
		s.proofs = append(s.proofs, proof{previous, *previouslyUntil})
	}
	return nil
}

// matches reports whether the secret is a valid one of the key. A session has no secret.
func (s *status) matches(hash keyHash, now time.Time) bool {
	found := false
	for _, p := range s.proofs {
		if subtle.ConstantTimeCompare(p.hash, hash[:]) == 1 && now.Before(p.until) {
			found = true
		}
	}
	return found
}

// memory caches the status of credentials. Every status that it returns was true at some moment
// of the last second, because a poll evicts all that changed before it.
type memory struct {
	mu     sync.RWMutex
	byID   map[uuid.UUID]status
	byUser map[uuid.UUID]map[uuid.UUID]struct{}
	gen    uint64    // evictions so far
	looked time.Time // when the last successful look began
}

func newMemory() *memory {
	return &memory{byID: map[uuid.UUID]status{}, byUser: map[uuid.UUID]map[uuid.UUID]struct{}{}}
}

func (m *memory) get(id uuid.UUID, now time.Time) (status, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()

	s, ok := m.byID[id]
	if !ok || now.Sub(m.looked) >= maxAge || now.Sub(s.read) >= maxReadAge || !now.Before(s.expires) {
		return status{}, false
	}
	return s, true
}

// generation is called before a read begins.
func (m *memory) generation() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.gen
}

// put caches the result of a read unless something was evicted since it began: the read may
// predate the change, and the change is announced only once.
func (m *memory) put(s status, began uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.gen != began {
		return
	}
	for id := range m.byID { // evict an arbitrary one
		if len(m.byID) < remembered {
			break
		}
		m.drop(id)
	}
	user, id := s.caller.UserID, s.caller.Credential()
	m.byID[id] = s
	if m.byUser[user] == nil {
		m.byUser[user] = map[uuid.UUID]struct{}{}
	}
	m.byUser[user][id] = struct{}{}
}

// evict removes one credential, or all of the user if it is zero.
func (m *memory) evict(user, credential uuid.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.gen++
	if credential != uuid.Nil {
		m.drop(credential)
		return
	}
	for id := range m.byUser[user] {
		m.drop(id)
	}
}

func (m *memory) drop(id uuid.UUID) {
	user := m.byID[id].caller.UserID
	delete(m.byID, id)
	delete(m.byUser[user], id)
	if len(m.byUser[user]) == 0 {
		delete(m.byUser, user)
	}
}

// sinceLastPoll returns the time since the last successful poll began. markFresh drops a cache
// that is too old, but sockets still have to be told of each change in that time.
func (m *memory) sinceLastPoll(now time.Time) time.Duration {
	m.mu.RLock()
	defer m.mu.RUnlock()

	if m.looked.IsZero() {
		return 0 // before the first poll there were no sockets
	}
	return now.Sub(m.looked)
}

// markFresh records a successful poll that began at the given time. After a long gap more may
// have changed than the poll could see, so the cache is dropped.
func (m *memory) markFresh(began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if began.Sub(m.looked) > silence {
		m.gen++
		clear(m.byID)
		clear(m.byUser)
	}
	m.looked = began
}
