package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	reconcileEvery  = time.Hour
	reconcileAtOnce = 1000 // accounts
)

// revokeLeft revokes the API keys of accounts that are not active. They are revoked with the change
// of the account, except by nodes of the previous version, which run beside this one while it is
// deployed.
func (m *Module) revokeLeft(ctx context.Context) error {
	for after := uuid.Nil; ; {
		rows, err := m.pool.Query(ctx, `
			select distinct user_id from api_keys where revoked_at is null and user_id > $1 order by user_id limit $2`, after, reconcileAtOnce)
		if err != nil {
			return fmt.Errorf("find the owners of keys: %w", err)
		}
		owners, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return fmt.Errorf("find the owners of keys: %w", err)
		}
		roles, err := m.accounts.Roles(ctx, m.pool, owners)
		if err != nil {
			return err
		}
		for _, owner := range owners {
			if roles[owner] == "" {
				if err := m.revokeLeftOf(ctx, owner); err != nil {
					return err
				}
			}
			after = owner
		}
		if len(owners) < reconcileAtOnce {
			return nil
		}
	}
}

// revokeLeftOf checks again under the lock of creations, because the account may have been activated
// and have a new key meanwhile.
func (m *Module) revokeLeftOf(ctx context.Context, owner uuid.UUID) error {
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := lockKeys(ctx, tx, owner); err != nil {
			return err
		}
		roles, err := m.accounts.Roles(ctx, tx, []uuid.UUID{owner})
		if err != nil || roles[owner] != "" {
			return err
		}
		return m.sessions.RevokeKeys(ctx, tx, owner, "account-deactivated")
	})
	m.sessions.changed(owner, uuid.Nil)
	return err
}
