package users

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// PreparePassword does the slow part of a password change: it verifies the current password and
// hashes the new one. The function that it returns is the fast part for the caller's
// transaction. It fails if the password was changed meanwhile, because then the verified one is
// no longer current.
//
// A wrong current password is 422 "wrong-password" at /currentPassword, an invalid new one 422
// at /newPassword. The new one is validated first, because that is cheap. An initial password must
// be replaced by another one.
func (m *Module) PreparePassword(ctx context.Context, id uuid.UUID, current, next string) (
	set func(context.Context, pgx.Tx) error, err error,
) {
	u, err := m.live(ctx, id)
	if err != nil {
		return nil, err
	}
	if wrong := validatePassword("/newPassword", next, u.Email); wrong != nil {
		return nil, fault.Invalid(wrong...)
	}
	if err := m.prove(ctx, u, "/currentPassword", current); err != nil {
		return nil, err
	}
	if u.PasswordMustChange && normalize(next) == normalize(current) { // ASVS 5.0 6.4.1: an initial password does not stay
		return nil, fault.Invalid(fault.Field{Pointer: "/newPassword", Code: "unchanged", Message: "must differ from the initial password"})
	}
	hash, err := m.hashes.make(ctx, known, next)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx pgx.Tx) error { return setPassword(ctx, tx, u, hash) }, nil
}

func setPassword(ctx context.Context, tx pgx.Tx, u *ent.User, hash string) error {
	n, err := ent.On(tx).User.Update().
		Where(user.ID(u.ID), user.PasswordVersion(u.PasswordVersion), user.Active(true), user.DeletedAtIsNil()).
		SetPasswordHash(hash).
		SetPasswordMustChange(false).
		AddPasswordVersion(1).
		SetUpdatedAt(postgres.Now()).
		Save(ctx)
	if err != nil {
		return fmt.Errorf("set the password of %s: %w", u.ID, err)
	}
	if n == 0 {
		return wrongPassword("/currentPassword")
	}
	if err := endResets(ctx, tx, u.ID); err != nil {
		return err
	}
	return audit.Record(ctx, tx, audit.Entry{Action: passwordChanged, Subject: u.ID.String(), User: u.ID})
}

// Confirm verifies the password of an account that is logged in: 422 "wrong-password" at
// /password if it is wrong, 404 if the account was deleted.
func (m *Module) Confirm(ctx context.Context, id uuid.UUID, password string) error {
	u, err := m.live(ctx, id)
	if err != nil {
		return err
	}
	return m.prove(ctx, u, "/password", password)
}

func (m *Module) prove(ctx context.Context, u *ent.User, pointer, password string) error {
	same, err := m.hashes.matches(ctx, u.PasswordHash, password)
	if err == nil && !same {
		return wrongPassword(pointer)
	}
	return err
}

func wrongPassword(pointer string) error {
	f := fault.New(fault.KindInvalid, "wrong-password", "The current password is wrong.")
	f.Fields = []fault.Field{{Pointer: pointer, Code: "wrong-password", Message: f.Detail}}
	return f
}
