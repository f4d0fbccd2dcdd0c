package users

import (
	"context"
	"fmt"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/predicate"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// filter narrows a list of accounts; zero values do not.
type filter struct {
	role        string
	active      *bool
	emailPrefix string // case-insensitive
}

// list returns accounts that are not deleted, newest first, that are older than before.
func (m *Module) list(ctx context.Context, f filter, before uuid.UUID, limit int) ([]*ent.User, error) {
	query := ent.On(m.pool).User.Query().Where(user.DeletedAtIsNil())
	if f.role != "" {
		query.Where(user.Role(f.role))
	}
	if f.active != nil {
		query.Where(user.Active(*f.active))
	}
	if f.emailPrefix != "" {
		query.Where(user.Or(hasPrefix(fold(f.emailPrefix)), hasPrefix(fold(asciiDomain(f.emailPrefix)))))
	}
	if before != uuid.Nil {
		query.Where(user.IDLT(before))
	}
	accounts, err := query.Order(ent.Desc(user.FieldID)).Limit(limit).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return accounts, nil
}

// hasPrefix is a range of the index users_email_prefix. LIKE with a parameter is one in custom plans only.
func hasPrefix(prefix string) predicate.User {
	return func(s *sql.Selector) {
		s.Where(sql.P(func(b *sql.Builder) {
			key := s.C(user.FieldEmailKey)
			b.Ident(key).WriteString(" ~>=~ ").Arg(prefix).WriteString(" AND ").Ident(key).WriteString(" ~<~ ").Arg(prefix + "\U0010FFFF")
		}))
	}
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

// Exists is a 404 if there was never an account with the id. Deleted accounts exist.
func (m *Module) Exists(ctx context.Context, id uuid.UUID) error {
	there, err := ent.On(m.pool).User.Query().Where(user.ID(id)).Exist(ctx)
	if err != nil {
		return fmt.Errorf("account %s: %w", id, err)
	}
	if !there {
		return fault.NotFound("user")
	}
	return nil
}

func one(ctx context.Context, q postgres.Querier, id uuid.UUID) (*ent.User, error) {
	u, err := ent.On(q).User.Query().Where(user.ID(id), user.DeletedAtIsNil()).Only(ctx)
	return u, found(err, id)
}

func found(err error, id uuid.UUID) error {
	switch {
	case err == nil:
		return nil
	case ent.IsNotFound(err):
		return fault.NotFound("user")
	default:
		return fmt.Errorf("account %s: %w", id, err)
	}
}
