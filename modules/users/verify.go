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
)

func refused() error {
	return fault.New(fault.KindUnauthenticated, "invalid-credentials", "The e-mail address or the password is wrong.")
}

// Room returns a 503 if so many requests wait for hashing that another one would time out. While
// requests wait, it calls isFamiliar; if that returns true, the passwords that are verified with the
// returned context are hashed before those of other requests.
func (m *Module) Room(ctx context.Context, isFamiliar func(context.Context) (bool, error)) (context.Context, error) {
	return m.hashes.hasCapacity(ctx, isFamiliar)
}

// Verify verifies a password. An unknown address, a wrong password and an inactive or deleted
// account return the same 401 in the same time (SPEC A2).
//
// The result may be outdated immediately. A caller that stores something based on it calls
// confirm inside the transaction: confirm returns the role, or the same 401 if the password or
// the active state has changed, and locks both until the commit.
func (m *Module) Verify(ctx context.Context, email, password string) (
	id uuid.UUID, confirm func(context.Context, pgx.Tx) (identity.Role, error), err error,
) {
	found, exists, err := m.byEmail(ctx, email)
	if err != nil {
		return uuid.Nil, nil, err
	}
	hash := m.hashes.dummyHash
	if exists {
		hash = found.PasswordHash
	}

	same, err := m.hashes.matches(ctx, hash, password)
	if err != nil {
		return uuid.Nil, nil, err
	}
	if !exists || !found.Active || !same {
		m.hashes.equalizeCost(ctx, hash, password)
		return uuid.Nil, nil, refused()
	}

	if m.hashes.stale(hash) {
		m.rehash(ctx, found, password)
	}
	return found.ID, func(ctx context.Context, tx pgx.Tx) (identity.Role, error) {
		return hold(ctx, tx, found)
	}, nil
}

// Find returns the account with an address, or zero.
func (m *Module) Find(ctx context.Context, email string) (uuid.UUID, error) {
	u, known, err := m.byEmail(ctx, email)
	if err != nil || !known {
		return uuid.Nil, err
	}
	return u.ID, nil
}

// byEmail returns false for an unknown or invalid address, which is not an error, because the
// callers continue in the same way.
func (m *Module) byEmail(ctx context.Context, email string) (u *ent.User, known bool, err error) {
	shown, _, ok := address(email)
	if !ok {
		return nil, false, nil
	}
	u, err = ent.On(m.pool).User.Query().Where(user.EmailKeyIn(keysOf(shown)...), user.DeletedAtIsNil()).Order(ent.Asc(user.FieldID)).First(ctx)
	if ent.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find an account by address: %w", err)
	}
	return u, true, nil
}

// hold takes a shared lock on the account, so that changes of the password wait for the commit.
func hold(ctx context.Context, tx pgx.Tx, u *ent.User) (identity.Role, error) {
	var role identity.Role
	var still bool
	err := tx.QueryRow(ctx, `
		select role, active and deleted_at is null and password_version = $2
		from users where id = $1 for share`, u.ID, u.PasswordVersion).Scan(&role, &still)
	if err != nil {
		return "", fmt.Errorf("confirm account %s: %w", u.ID, err)
	}
	if !still {
		return "", refused()
	}
	return role, nil
}

// rehash updates a hash to the configured cost. Otherwise old accounts could be distinguished
// from unknown ones by the time of a response. Errors are ignored, because the next login
// repeats it.
func (m *Module) rehash(ctx context.Context, u *ent.User, password string) {
	hash, err := m.hashes.make(ctx, known, password)
	if err != nil {
		return
	}
	_, err = ent.On(m.pool).User.Update().
		Where(user.ID(u.ID), user.PasswordHash(u.PasswordHash)).
		SetPasswordHash(hash).
		Save(ctx)
	if err != nil {
		m.log.WarnContext(ctx, "rehash a password", "user", u.ID, "error", err)
	}
}

// Address returns the e-mail address of an account that is not deleted.
func (m *Module) Address(ctx context.Context, id uuid.UUID) (string, error) {
	u, err := m.live(ctx, id)
	if err != nil {
		return "", err
	}
	return u.Email, nil
}

// Account reads the current state of an account. A deleted or unknown account is inactive; that
// is not an error, because the difference is not disclosed.
func (m *Module) Account(ctx context.Context, id uuid.UUID) (identity.Account, error) {
	found, err := ent.On(m.pool).User.Query().
		Where(user.ID(id), user.DeletedAtIsNil()).
		Select(user.FieldRole, user.FieldActive, user.FieldPasswordMustChange, user.FieldEmailVerifiedAt).
		Only(ctx)
	if ent.IsNotFound(err) {
		return identity.Account{}, nil
	}
	if err != nil {
		return identity.Account{}, fmt.Errorf("read account %s: %w", id, err)
	}
	account := identity.Account{Role: identity.Role(found.Role), Active: found.Active}
	switch {
	case m.verifyEmail && found.EmailVerifiedAt == nil:
		account.Restriction = identity.EmailNotVerified
	case found.PasswordMustChange:
		account.Restriction = identity.PasswordChangeRequired
	}
	return account, nil
}
