package auth

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// confirm verifies the password of the caller, and the code of the second factor if there is one, and
// records in the caller's session that they were given now (SPEC A11, A13). Attempts are limited like
// those to change the password. A session that ended meanwhile, for example with a change of the
// password, is not confirmed.
func (m *Module) confirm(ctx context.Context, c identity.Caller, password, code string, from netip.Addr) error {
	g := guess{"user:" + c.UserID.String(), from, func(context.Context) (uuid.UUID, error) { return c.UserID, nil }, true}
	err := m.limitAttempts(ctx, g, func(ctx context.Context) error {
		if err := m.accounts.Confirm(ctx, c.UserID, password); err != nil {
			return err
		}
		proof, err := m.proveCode(ctx, c.UserID, code, fault.KindInvalid)
		if err != nil {
			return err
		}
		return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
			if err := proof.use(ctx, tx); err != nil {
				return err
			}
			return m.sessions.confirm(ctx, tx, c)
		})
	})
	// The other nodes read the row before they refuse a session, so they need no announcement.
	m.sessions.memory.evict(c.UserID, c.SessionID)
	return err
}

func (s *Sessions) confirm(ctx context.Context, tx pgx.Tx, c identity.Caller) error {
	tag, err := tx.Exec(ctx, `
		update sessions set confirmed_at = now()
		where id = $2 and user_id = $1 and ended_at is null and least(expires_at, created_at + $3::interval) > now()`,
		c.UserID, c.SessionID, s.maxAge)
	if err != nil {
		return fmt.Errorf("confirm session %s: %w", c.SessionID, err)
	}
	if tag.RowsAffected() == 0 {
		return invalidToken()
	}
	return recordSession(ctx, tx, sessionConfirmed, c.UserID, c.SessionID)
}

// rereadCaller reads the state of a caller from the database, regardless of what is cached.
func (m *Module) rereadCaller(ctx context.Context, c identity.Caller) (identity.Caller, error) {
	s, err := m.read(ctx, c.Credential())
	return s.caller, err
}
