package users

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const maxName = 200 // characters

func emailTaken() error {
	return fault.New(fault.KindConflict, "email-taken", "An account with this e-mail address already exists.")
}

func tooManyRegistrations() *fault.Error {
	return fault.New(fault.KindRateLimited, "too-many-registrations", "Too many accounts were registered from this network address; try again later.")
}

// register creates an account with the role user. The registration counts against the limit of
// the network address before anything is read or hashed, also if the e-mail address is taken,
// but not if the registration fails for an internal reason.
func (m *Module) createAccount(ctx context.Context, email, password, name string) (*ent.User, error) {
	fresh, err := draftOf(email, password, name, identity.User)
	if err != nil {
		return nil, err
	}
	giveBack, wait, refused := m.beginRegistration(ctx, clientaddr.From(ctx))
	if refused {
		return nil, tooManyRegistrations().WithRetryAfter(wait)
	}
	if err := m.finish(ctx, &fresh, password, newcomer); err != nil {
		if !fault.Is(err, "email-taken") {
			giveBack(ctx)
		}
		return nil, err
	}
	return m.insert(ctx, fresh, registered)
}

// insert writes an account and its audit entry.
func (m *Module) insert(ctx context.Context, d draft, what audit.Action) (u *ent.User, err error) {
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if u, err = d.insert(ctx, tx); err != nil {
			return err
		}
		return recordNew(ctx, tx, what, u)
	})
	return u, err
}

// draft is a validated account with a hashed password, ready to be inserted. Hashing happens
// outside of transactions.
type draft struct {
	email, key, name, hash string
	role                   identity.Role
}

func (m *Module) prepare(ctx context.Context, email, password, name string, role identity.Role) (draft, error) {
	d, err := draftOf(email, password, name, role)
	if err == nil {
		err = m.finish(ctx, &d, password, known)
	}
	return d, err
}

func draftOf(email, password, name string, role identity.Role) (draft, error) {
	shown, key, ok := address(email)
	var wrong []fault.Field
	if !ok {
		wrong = append(wrong, fault.Field{
			Pointer: "/email", Code: "invalid", Message: "must be an e-mail address such as name@example.com of at most 254 bytes",
		})
	}
	wrong = append(wrong, validatePassword("/password", password, shown)...)
	wrong = append(wrong, validateName(name)...)
	if wrong != nil {
		return draft{}, fault.Invalid(wrong...)
	}
	return draft{email: shown, key: key, name: name, role: role}, nil
}

// finish hashes the password.
func (m *Module) finish(ctx context.Context, d *draft, password string, class int) error {
	// The unique index decides. Checking first avoids hashing for an address that is taken.
	taken, err := ent.On(m.pool).User.Query().Where(user.EmailKey(d.key), user.DeletedAtIsNil()).Exist(ctx)
	if err != nil {
		return fmt.Errorf("look for an address: %w", err)
	}
	if taken {
		return emailTaken()
	}
	d.hash, err = m.hashes.make(ctx, class, password)
	return err
}

func (d draft) insert(ctx context.Context, q postgres.Querier) (*ent.User, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	at := postgres.Now()
	u, err := ent.On(q).User.Create().
		SetID(id).SetEmail(d.email).SetEmailKey(d.key).SetName(d.name).
		SetRole(string(d.role)).SetPasswordHash(d.hash).
		SetCreatedAt(at).SetUpdatedAt(at).
		Save(ctx)
	if postgres.Violates(err, "users_email") {
		return nil, emailTaken()
	}
	if err != nil {
		return nil, fmt.Errorf("write an account: %w", err)
	}
	return u, nil
}

func validateName(name string) []fault.Field {
	switch {
	case utf8.RuneCountInString(name) > maxName:
		return []fault.Field{{Pointer: "/name", Code: "too-long", Message: "must have at most 200 characters"}}
	case strings.ContainsFunc(name, unicode.IsControl):
		return []fault.Field{{Pointer: "/name", Code: "invalid", Message: "must not contain control characters"}}
	}
	return nil
}

// CreateAdmin creates an administrator, for the command line. If an administrator has the
// address, it changes nothing and returns false. An ordinary account is not promoted: the
// result is 409 "email-taken".
func (m *Module) CreateAdmin(ctx context.Context, email, password, name string) (isNew bool, err error) {
	fresh, err := m.prepare(ctx, email, password, name, identity.Admin)
	if err == nil {
		_, err = m.insert(ctx, fresh, created)
	}
	if !fault.Is(err, "email-taken") {
		return err == nil, err
	}

	holder, exists, lookup := m.byEmail(ctx, email)
	if lookup != nil {
		return false, lookup
	}
	if exists && identity.Role(holder.Role) == identity.Admin {
		return false, nil
	}
	return false, err
}

// EnsureAdmin creates the first administrator if there is none. Any number of nodes may call it
// concurrently. An ordinary account with the address is not promoted, because anyone could have
// registered it.
func (m *Module) EnsureAdmin(ctx context.Context, email, password string) error {
	there, err := hasAdmin(ctx, m.pool)
	if err != nil || there {
		return err
	}

	fresh, err := m.prepare(ctx, email, password, "", identity.Admin)
	if err != nil && !fault.Is(err, "email-taken") {
		return err
	}
	taken := err
	return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := lockAccounts(ctx, tx); err != nil {
			return err
		}
		// Another node may have been faster; then the address belongs to its administrator.
		there, err := hasAdmin(ctx, tx)
		if err != nil || there {
			return err
		}
		if taken != nil {
			return taken
		}
		u, err := fresh.insert(ctx, tx)
		if err != nil {
			return err
		}
		return recordNew(ctx, tx, created, u)
	})
}

func hasAdmin(ctx context.Context, q postgres.Querier) (bool, error) {
	there, err := ent.On(q).User.Query().Where(admins()...).Exist(ctx)
	if err != nil {
		return false, fmt.Errorf("look for an admin: %w", err)
	}
	return there, nil
}
