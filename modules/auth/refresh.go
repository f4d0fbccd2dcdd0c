package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	refreshLife = 30 * 24 * time.Hour // restarted by each refresh, also for the session
	// refreshGrace is how long the last used token is answered with the same successor, for two
	// tabs that refresh at once and for a client that lost the response.
	refreshGrace = 10 * time.Second
	// A session may be refreshed refreshBurst times at once and then once in refreshEvery. An access
	// token lives 15 minutes, so clients need far less.
	refreshEvery = 10 * time.Second
	refreshBurst = 10
)

func invalidRefresh() *fault.Error {
	return refusal("invalid-refresh-token", "The refresh token is not valid, or no longer; log in again.")
}

func tooManyRefreshes(wait time.Duration) *fault.Error {
	return fault.New(fault.KindRateLimited, "too-many-refreshes", "This session was refreshed too often; use its access token, and refresh later.").WithRetryAfter(wait)
}

// errForgotten means that the row of a token was deleted after the session of the token was found.
var errForgotten = errors.New("the refresh token has no row")

// rotateRefresh exchanges a refresh token for a new pair (SPEC A4). Within refreshGrace of its use,
// the last used token is exchanged for the same successor. Any other use of a used token means that
// it was copied, so the whole session ends.
func (m *Module) rotateRefresh(ctx context.Context, text string) (pair, error) {
	token, err := parseRefresh(text)
	if err != nil {
		return pair{}, invalidRefresh()
	}
	f, err := m.familyOf(ctx, token)
	if err != nil {
		return pair{}, err
	}
	caller, err := m.ownerOf(ctx, f)
	if err != nil {
		return pair{}, err
	}

	var next refreshToken
	var reused bool
	if f.hasRow {
		err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
			next, reused, err = m.sessions.exchange(ctx, tx, caller, token)
			return err
		})
	}
	if !f.hasRow || errors.Is(err, errForgotten) {
		reused, err = m.endIfUsed(ctx, f, token)
	}
	if err != nil {
		return pair{}, err
	}
	if reused { // the session was ended and the transaction is committed
		m.sessions.changed(caller.UserID, caller.SessionID)
		m.metrics.reused.Inc()
		m.log.WarnContext(ctx, "used refresh token presented again", "session", caller.SessionID, "user", caller.UserID)
		return pair{}, invalidRefresh()
	}
	return m.pairOf(session{caller: caller, refresh: next.text()})
}

// family is the session of a refresh token, with what derives its tokens.
type family struct {
	session, user uuid.UUID
	key           []byte
	steps         int64 // how often a token was derived
	hasRow        bool  // whether the presented token has a row
}

// familyOf finds the session of a token by the token's row or, for a used token without a row, by
// the tag of the token.
func (m *Module) familyOf(ctx context.Context, token refreshToken) (f family, err error) {
	err = m.pool.QueryRow(ctx, `
		select s.id, s.user_id, s.refresh_key, s.refresh_count, true
		from refresh_tokens t join sessions s on s.id = t.session_id where t.hash = $1
		union all
		select s.id, s.user_id, s.refresh_key, s.refresh_count, false
		from sessions s where s.refresh_tag = $2 and not exists (select from refresh_tokens where hash = $1)`,
		token.hash(), token.tag()).Scan(&f.session, &f.user, &f.key, &f.steps, &f.hasRow)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, invalidRefresh()
	}
	if err != nil {
		return f, fmt.Errorf("look up a refresh token: %w", err)
	}
	return f, nil
}

// ownerOf reads the account of a session before a transaction is open, because the account is
// read on another connection.
func (m *Module) ownerOf(ctx context.Context, f family) (identity.Caller, error) {
	account, err := m.accounts.Account(ctx, f.user)
	if err != nil {
		return identity.Caller{}, err
	}
	if !account.Active {
		return identity.Caller{}, invalidRefresh()
	}
	return identity.Caller{UserID: f.user, SessionID: f.session, Role: account.Role}, nil
}

// exchange uses a token that has a row and returns its successor, or ends the session and returns
// reused. Concurrent requests wait for each other's row locks. The row of the token is locked
// before that of the session, in which order nodes of the previous version lock them as well.
func (s *Sessions) exchange(ctx context.Context, tx pgx.Tx, c identity.Caller, token refreshToken) (next refreshToken, reused bool, err error) {
	var used, recently, inTime, derived bool
	err = tx.QueryRow(ctx, `
		select used_at is not null, coalesce(used_at > now() - $2::interval, false), expires_at > now(), derived
		from refresh_tokens where hash = $1 for update`, token.hash(), refreshGrace).Scan(&used, &recently, &inTime, &derived)
	if errors.Is(err, pgx.ErrNoRows) {
		return next, false, errForgotten
	}
	if err != nil {
		return next, false, fmt.Errorf("lock a refresh token: %w", err)
	}
	var tag, key []byte
	var backlog time.Duration
	err = tx.QueryRow(ctx, `
		select refresh_tag, refresh_key, greatest(refresh_due, now()) - now() from sessions
		where id = $1 and ended_at is null and least(expires_at, created_at + $2::interval) > now() for update`,
		c.SessionID, s.maxAge).Scan(&tag, &key, &backlog)
	if errors.Is(err, pgx.ErrNoRows) {
		return next, false, invalidRefresh()
	}
	if err != nil {
		return next, false, fmt.Errorf("lock session %s: %w", c.SessionID, err)
	}

	switch {
	case used:
		return s.repeat(ctx, tx, c, token, tag, key, recently)
	case !inTime:
		return next, false, invalidRefresh()
	case backlog > (refreshBurst-1)*refreshEvery:
		return next, false, tooManyRefreshes(backlog - (refreshBurst-1)*refreshEvery)
	}
	if key == nil { // a node of the previous version opened the session
		tag, key = newFamily()
	}
	next = token.successor(tag, key)
	return next, false, s.advance(ctx, tx, c.SessionID, token, next, key, derived)
}

// repeat answers a used token. The successor is returned again while the token is the last one
// that was used, and its use is recent.
func (s *Sessions) repeat(ctx context.Context, tx pgx.Tx, c identity.Caller, token refreshToken, tag, key []byte, recently bool) (
	next refreshToken, reused bool, err error,
) {
	if recently && key != nil {
		next = token.successor(tag, key)
		var current bool
		err := tx.QueryRow(ctx, `select exists (select from refresh_tokens where hash = $1 and used_at is null and expires_at > now())`,
			next.hash()).Scan(&current)
		if err != nil {
			return next, false, fmt.Errorf("look for the successor of a refresh token: %w", err)
		}
		if current {
			return next, false, nil
		}
	}
	_, err = s.endOne(ctx, tx, c.UserID, c.SessionID, "refresh-token-reused")
	return next, true, err
}

// advance replaces a token by its successor and prolongs the session, at most to the end of its
// life. The current token and the one before it keep a row, and so do the tokens of the previous
// version.
func (s *Sessions) advance(ctx context.Context, tx pgx.Tx, sessionID uuid.UUID, token, next refreshToken, key []byte, derived bool) error {
	b := &pgx.Batch{}
	b.Queue(`
		update sessions set last_used_at = now(), expires_at = least(now() + $2::interval, created_at + $3::interval),
			refresh_tag = $4, refresh_key = $5, refresh_count = refresh_count + 1, refresh_due = greatest(refresh_due, now()) + $6::interval
		where id = $1`, sessionID, refreshLife, s.maxAge, next.tag(), key, refreshEvery)
	b.Queue(`update refresh_tokens set used_at = now() where hash = $1`, token.hash())
	b.Queue(`
		insert into refresh_tokens (hash, session_id, created_at, expires_at, derived)
		select $1, id, now(), expires_at, true from sessions where id = $2`, next.hash(), sessionID)
	// A row that is locked belongs to a request that waits for this session.
	before := `where hash in (select hash from refresh_tokens
		where session_id = $1 and derived and used_at is not null and hash <> $2 for update skip locked)`
	if derived {
		b.Queue(`delete from refresh_tokens `+before, sessionID, token.hash())
	} else { // the tokens from before the other version's do not lead to those that follow, so their last row is kept
		b.Queue(`update refresh_tokens set derived = false `+before, sessionID, token.hash())
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("refresh session %s: %w", sessionID, err)
	}
	return nil
}

// endIfUsed ends the session if a token without a row is one of its used tokens: then a number of
// derivations leads from it to a token that has a row. Otherwise it returns an error.
func (m *Module) endIfUsed(ctx context.Context, f family, token refreshToken) (reused bool, err error) {
	if f.key == nil {
		return false, invalidRefresh()
	}
	rows, err := m.pool.Query(ctx, `select hash from refresh_tokens where session_id = $1`, f.session)
	if err != nil {
		return false, fmt.Errorf("read the refresh tokens of session %s: %w", f.session, err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return false, fmt.Errorf("read the refresh tokens of session %s: %w", f.session, err)
	}
	// A few more steps than were counted, because the session may have been refreshed meanwhile.
	if len(known) == 0 || !token.leadsTo(known, f.key, f.steps+refreshBurst) {
		return false, invalidRefresh()
	}
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		_, err := m.sessions.endOne(ctx, tx, f.user, f.session, "refresh-token-reused")
		return err
	})
	return err == nil, err
}
