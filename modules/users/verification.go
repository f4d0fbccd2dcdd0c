package users

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/predicate"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// replaceable are the accounts that do not occupy their address: registered, never verified, and
// neither promoted nor deactivated by an administrator since.
func replaceable() predicate.User {
	return user.And(user.EmailVerifiedAtIsNil(), user.Active(true), user.Role(string(identity.User)))
}

// isTaken reports whether an account occupies an address that address returned.
func (m *Module) isTaken(ctx context.Context, q postgres.Querier, shown string) (bool, error) {
	query := ent.On(q).User.Query().Where(user.EmailKeyIn(keysOf(shown)...), user.DeletedAtIsNil())
	if m.verifyEmail {
		query.Where(user.Not(replaceable()))
	}
	taken, err := query.Exist(ctx)
	if err != nil {
		return false, fmt.Errorf("look for an address: %w", err)
	}
	return taken, nil
}

// replaceUnverified deletes the account that has the address without having verified it, so that nobody
// can keep an owner from the own address (SPEC A9). It returns the account, or zero.
func (m *Module) replaceUnverified(ctx context.Context, tx pgx.Tx, key string) (uuid.UUID, error) {
	if !m.verifyEmail {
		return uuid.Nil, nil
	}
	var id uuid.UUID
	err := tx.QueryRow(ctx, `
		update users set deleted_at = now(), updated_at = now()
		where email_key = $1 and deleted_at is null and email_verified_at is null and active and role = 'user' returning id`, key).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, nil
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("replace an account that is not verified: %w", err)
	}
	if err := forget(ctx, tx, id); err != nil {
		return id, err
	}
	if err := m.endAccess(ctx, tx, id, "account-replaced"); err != nil {
		return id, err
	}
	if err := m.sessions.DeleteFactor(ctx, tx, id); err != nil {
		return id, err
	}
	return id, audit.Record(ctx, tx, audit.Entry{Action: replacedAccount, Subject: id.String(), User: id})
}

// sendVerification sends another message to the address of an account that is not verified.
func (m *Module) sendVerification(ctx context.Context, id uuid.UUID) error {
	if err := m.requireMailer(); err != nil {
		return err
	}
	u, err := m.live(ctx, id)
	if err != nil {
		return err
	}
	if u.EmailVerifiedAt != nil {
		return fault.New(fault.KindConflict, "email-already-verified", "The e-mail address of the account is verified.")
	}
	return m.messages.allow(ctx, mailVerification, u.EmailKey, func() error {
		return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
			return m.enqueue(ctx, tx, MailArgs{Message: mailVerification, ID: u.ID, Facts: originOf(ctx)})
		})
	})
}

func invalidVerification() error {
	return invalidToken("/token", "invalid-verification-token", "The code is not valid, was used, has expired, or was replaced by that of a later message.")
}

// confirmVerification verifies the address of the account whose token it is.
func (m *Module) confirmVerification(ctx context.Context, token string) error {
	hash, ok := hashOf(token)
	if !ok {
		return invalidVerification()
	}
	u, err := ownerOf(ctx, m.pool, hash, mailVerification)
	if errors.Is(err, errToken) {
		return invalidVerification()
	}
	if err != nil {
		return err
	}
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := useToken(ctx, tx, u.ID, hash, mailVerification); err != nil {
			return err
		}
		return m.markVerified(ctx, tx, u.ID)
	})
	m.sessions.Committed(ctx, u.ID) // even on an error, because the commit may have succeeded
	if errors.Is(err, errToken) {
		return invalidVerification()
	}
	return err
}

// markVerified marks the address as verified, unless it is. The sessions of the account lose their
// restriction.
func (m *Module) markVerified(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	n, err := ent.On(tx).User.Update().Where(user.ID(id), user.EmailVerifiedAtIsNil()).
		SetEmailVerifiedAt(postgres.Now()).SetUpdatedAt(postgres.Now()).Save(ctx)
	if err != nil {
		return fmt.Errorf("mark the address of %s as verified: %w", id, err)
	}
	if n == 0 {
		return nil
	}
	if err := audit.Record(ctx, tx, audit.Entry{Action: emailVerified, Subject: id.String(), User: id}); err != nil {
		return err
	}
	return m.sessions.Announce(ctx, tx, id)
}
