package users

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// change has the new values; nil leaves a value as it is.
type change struct {
	name   *string
	role   *identity.Role
	active *bool
	gone   bool // delete: the row is kept, and its address can be used again
}

// validate returns the faults of the new values.
func (c change) validate() error {
	if c.name == nil {
		return nil
	}
	if wrong := validateName(*c.name); wrong != nil {
		return fault.Invalid(wrong...)
	}
	return nil
}

func (c change) affectsSessions() bool { return c.role != nil || c.active != nil || c.gone }

// alter changes an account. A new role, deactivation or deletion takes effect on its sessions
// in the same commit: they get the new role, and those of an inactive or deleted account end
// together with its API keys and webhooks, which activating it does not bring back (SPEC A5). The last active administrator keeps the role, also with concurrent requests.
func (m *Module) alter(ctx context.Context, id uuid.UUID, c change) (*ent.User, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}

	var after *ent.User
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if c.affectsSessions() {
			if err := lockAccounts(ctx, tx); err != nil {
				return err
			}
		}
		before, err := one(ctx, tx, id)
		if err != nil {
			return err
		}
		after, err = m.apply(ctx, tx, before, c)
		return err
	})
	if c.affectsSessions() {
		m.sessions.Committed(ctx, id) // even on an error, because the commit may have succeeded
	}
	return after, err
}

// apply writes a change of an account, what follows from it and its audit entries. If it affects
// sessions, the caller holds lockAccounts.
func (m *Module) apply(ctx context.Context, tx pgx.Tx, before *ent.User, c change) (*ent.User, error) {
	after, err := write(ctx, tx, before.ID, c)
	if err != nil {
		return nil, err
	}
	if err := m.updateSessions(ctx, tx, before, after); err != nil {
		return nil, err
	}
	return after, recordChanges(ctx, tx, before, after)
}

// updateSessions ends or announces the sessions of a changed account, and what else depends on its
// state. The account's row is written by now, and a log-in that is about to open a session waits
// for it.
func (m *Module) updateSessions(ctx context.Context, tx pgx.Tx, before, after *ent.User) error {
	if isAdmin(before) && !isAdmin(after) {
		there, err := hasAdmin(ctx, tx)
		if err != nil {
			return err
		}
		if !there {
			return fault.New(fault.KindConflict, "last-admin", "This is the last active administrator; make another user an administrator first.")
		}
	}

	switch {
	case after.DeletedAt != nil:
		if err := forget(ctx, tx, after.ID); err != nil {
			return err
		}
		if err := m.endAccess(ctx, tx, after.ID, "account-deleted"); err != nil {
			return err
		}
		return m.sessions.DeleteFactor(ctx, tx, after.ID)
	case before.Active != after.Active:
		// Also an activation ends what is left, because a node of the previous version ended only
		// the sessions when it deactivated the account.
		return m.endAccess(ctx, tx, after.ID, "account-deactivated")
	case before.Role != after.Role:
		if err := m.disableWebhooks(ctx, tx, after.ID, identity.Role(after.Role)); err != nil {
			return err
		}
		return m.sessions.Announce(ctx, tx, after.ID)
	}
	return nil
}

// endAccess ends the sessions, API keys and webhooks of an account. The sessions come first,
// because a key is created only while the session of the request lives.
func (m *Module) endAccess(ctx context.Context, tx pgx.Tx, id uuid.UUID, reason string) error {
	if err := m.sessions.EndAll(ctx, tx, id, reason); err != nil {
		return err
	}
	if err := m.sessions.RevokeKeys(ctx, tx, id, reason); err != nil {
		return err
	}
	return m.disableWebhooks(ctx, tx, id, "")
}

func write(ctx context.Context, tx pgx.Tx, id uuid.UUID, c change) (*ent.User, error) {
	u := ent.On(tx).User.UpdateOneID(id).
		Where(user.DeletedAtIsNil()).
		SetNillableName(c.name).
		SetNillableActive(c.active).
		SetUpdatedAt(postgres.Now())
	if c.role != nil {
		u.SetRole(string(*c.role))
	}
	if c.gone {
		u.SetDeletedAt(postgres.Now())
	}
	after, err := u.Save(ctx)
	return after, found(err, id)
}

// Roles returns the present roles of those accounts that are active and not deleted. It reads on
// q, which may be a transaction.
func (m *Module) Roles(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.Role, error) {
	found, err := ent.On(q).User.Query().
		Where(user.IDIn(ids...), user.Active(true), user.DeletedAtIsNil()).
		Select(user.FieldID, user.FieldRole).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the roles of %d accounts: %w", len(ids), err)
	}
	roles := make(map[uuid.UUID]identity.Role, len(found))
	for _, u := range found {
		roles[u.ID] = identity.Role(u.Role)
	}
	return roles, nil
}

// lockAccounts serialises changes of roles and activity across all nodes. They are rare, and one
// lock cannot deadlock with itself.
func lockAccounts(ctx context.Context, tx pgx.Tx) error {
	const key = 0x7374616e64 // "stand"; any number that never changes
	if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", key); err != nil {
		return fmt.Errorf("lock the standings: %w", err)
	}
	return nil
}
