package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func invalidRefresh() *fault.Error {
	return refusal("invalid-refresh-token", "The refresh token is not valid, or no longer; log in again.")
}

// refresh exchanges a refresh token for a new pair (SPEC A4). Each token can be used once. A
// second use means that the token was copied, so the whole session ends.
func (m *Module) rotateRefresh(ctx context.Context, token string) (pair, error) {
	hash, err := hashOf(token)
	if err != nil {
		return pair{}, invalidRefresh()
	}
	caller, err := m.ownerOf(ctx, hash)
	if err != nil {
		return pair{}, err
	}

	var next string
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		next = ""
		used, err := m.redeem(ctx, tx, hash)
		if err != nil || !used {
			return err
		}
		next, err = extend(ctx, tx, caller.SessionID)
		return err
	})
	if err != nil {
		return pair{}, err
	}
	if next == "" { // the session was ended and the transaction is committed
		m.sessions.changed(caller.UserID, caller.SessionID)
		m.log.WarnContext(ctx, "used refresh token presented again", "session", caller.SessionID, "user", caller.UserID)
		return pair{}, invalidRefresh()
	}
	return m.pairOf(session{caller: caller, refresh: next})
}

// ownerOf reads the owner of a token and the owner's account before a transaction is open,
// because the account is read on another connection.
func (m *Module) ownerOf(ctx context.Context, hash []byte) (identity.Caller, error) {
	var c identity.Caller
	err := m.pool.QueryRow(ctx, `
		select s.id, s.user_id from refresh_tokens t join sessions s on s.id = t.session_id
		where t.hash = $1`, hash).Scan(&c.SessionID, &c.UserID)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, invalidRefresh()
	}
	if err != nil {
		return c, fmt.Errorf("look up a refresh token: %w", err)
	}
	role, active, err := m.accounts.Account(ctx, c.UserID)
	if err != nil {
		return c, err
	}
	if !active {
		return c, invalidRefresh()
	}
	c.Role = role
	return c, nil
}

// redeem marks a token as used. Of several concurrent requests the row lock lets one through; the
// others find the token used, end the session, and get false.
func (m *Module) redeem(ctx context.Context, tx pgx.Tx, hash []byte) (bool, error) {
	tag, err := tx.Exec(ctx, `
		update refresh_tokens set used_at = now()
		where hash = $1 and used_at is null and expires_at > now()`, hash)
	if err != nil {
		return false, fmt.Errorf("use a refresh token: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return true, nil
	}

	var userID, sessionID uuid.UUID
	err = tx.QueryRow(ctx, `
		select s.user_id, s.id from refresh_tokens t join sessions s on s.id = t.session_id
		where t.hash = $1 and t.used_at is not null`, hash).Scan(&userID, &sessionID)
	if errors.Is(err, pgx.ErrNoRows) { // the token has expired
		return false, invalidRefresh()
	}
	if err != nil {
		return false, fmt.Errorf("look up a used refresh token: %w", err)
	}
	_, err = m.sessions.endOne(ctx, tx, userID, sessionID, "refresh-token-reused")
	return false, err
}

// extend prolongs a session and issues its next refresh token.
func extend(ctx context.Context, tx pgx.Tx, sessionID uuid.UUID) (token string, err error) {
	tag, err := tx.Exec(ctx, `
		update sessions set last_used_at = now(), expires_at = now() + $2::interval
		where id = $1 and ended_at is null and expires_at > now()`, sessionID, refreshLife)
	if err != nil {
		return "", fmt.Errorf("prolong session %s: %w", sessionID, err)
	}
	if tag.RowsAffected() == 0 {
		return "", invalidRefresh()
	}
	return addRefresh(ctx, tx, sessionID)
}
