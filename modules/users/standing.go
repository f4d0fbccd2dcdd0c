package users

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/predicate"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// change is what an administrator may alter; nil leaves as it is.
type change struct {
	name   *string
	role   *identity.Role
	active *bool
	gone   bool // delete: the row stays, its address is free again
}

func (c change) ofStanding() bool { return c.role != nil || c.active != nil || c.gone }

// alter applies a change. One that touches the standing takes effect on the
// account's sessions in the same commit: a role is announced to them, an
// inactive or deleted account has none (SPEC A5). The last active administrator
// stays one, however many requests come at once.
func (m *Module) alter(ctx context.Context, id uuid.UUID, c change) (*ent.User, error) {
	if c.name != nil {
		if wrong := judgeName(*c.name); wrong != nil {
			return nil, fault.Unprocessable(wrong...)
		}
	}

	var after *ent.User
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if c.ofStanding() {
			if err := lockStandings(ctx, tx); err != nil {
				return err
			}
		}
		before, err := one(ctx, tx, id)
		if err != nil {
			return err
		}
		if after, err = write(ctx, tx, id, c); err != nil {
			return err
		}
		return m.follow(ctx, tx, before, after)
	})
	if c.ofStanding() {
		m.sessions.Committed(ctx, id) // even on an error: the commit may have gone through
	}
	return after, err
}

// follow draws the consequences. The account's row is written by now, and whoever
// is about to open a session on it waits for that row.
func (m *Module) follow(ctx context.Context, tx pgx.Tx, before, after *ent.User) error {
	if isAdmin(before) && !isAdmin(after) {
		there, err := hasAdmin(ctx, tx)
		if err != nil {
			return err
		}
		if !there {
			return fault.New(fault.Conflict, "last-admin", "This is the last active administrator; appoint another one first.")
		}
	}

	switch {
	case after.DeletedAt != nil:
		return m.sessions.EndAll(ctx, tx, after.ID, "account-deleted")
	case before.Active && !after.Active:
		return m.sessions.EndAll(ctx, tx, after.ID, "account-deactivated")
	case before.Role != after.Role || before.Active != after.Active:
		return m.sessions.Announce(ctx, tx, after.ID)
	}
	return nil
}

func write(ctx context.Context, tx pgx.Tx, id uuid.UUID, c change) (*ent.User, error) {
	u := rows(tx).UpdateOneID(id).
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

// Roles tells the present roles of accounts; one that is not active, or deleted, is
// not among them. It is read where the caller stands, be it in a transaction.
func (m *Module) Roles(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.Role, error) {
	found, err := rows(q).Query().
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

// lockStandings makes changes of standing wait for each other, across all nodes.
// They are rare, and one lock leaves no order in which two of them could meet.
func lockStandings(ctx context.Context, tx pgx.Tx) error {
	const key = 0x7374616e64 // "stand"; any number that never changes
	if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", key); err != nil {
		return fmt.Errorf("lock the standings: %w", err)
	}
	return nil
}

func isAdmin(u *ent.User) bool {
	return u.Role == string(identity.Admin) && u.Active && u.DeletedAt == nil
}

func admins() []predicate.User {
	return []predicate.User{user.Role(string(identity.Admin)), user.Active(true), user.DeletedAtIsNil()}
}

func (m *Module) live(ctx context.Context, id uuid.UUID) (*ent.User, error) {
	return one(ctx, m.pool, id)
}

func one(ctx context.Context, q postgres.Querier, id uuid.UUID) (*ent.User, error) {
	u, err := rows(q).Query().Where(user.ID(id), user.DeletedAtIsNil()).Only(ctx)
	return u, found(err, id)
}

func found(err error, id uuid.UUID) error {
	switch {
	case err == nil:
		return nil
	case ent.IsNotFound(err):
		return fault.Absent("user")
	default:
		return fmt.Errorf("account %s: %w", id, err)
	}
}
