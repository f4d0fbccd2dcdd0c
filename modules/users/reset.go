package users

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/internal/requestid"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// requestReset sends a message with a token to the account with the address, if there is one. The
// caller learns nothing about that: for an unknown address it inserts the same job, which finds no
// account, and beyond the limit of an address it does nothing (SPEC A9; ASVS 5.0 6.3.8).
func (m *Module) requestReset(ctx context.Context, email string) error {
	if err := m.requireMailer(); err != nil {
		return err
	}
	_, key, ok := address(email)
	if !ok {
		return fault.Invalid(invalidEmail())
	}
	return m.messages.allowNetwork(ctx, mailReset, func() error {
		err := m.messages.allow(ctx, mailReset, key, func() error { return m.enqueueReset(ctx, email) })
		if fault.Is(err, "too-many-messages") {
			return nil // the limit of an address must look like a success
		}
		return err
	})
}

// enqueueReset inserts the job of the message. For an unknown address it makes up an account.
func (m *Module) enqueueReset(ctx context.Context, email string) error {
	id, err := m.Find(ctx, email)
	if err != nil {
		return err
	}
	if id == uuid.Nil {
		id = uuid.Must(uuid.NewV7())
	}
	args := MailArgs{Message: mailReset, ID: id, At: time.Now(), Facts: originOf(ctx), RequestID: requestid.From(ctx)}
	if _, err := m.queue.Insert(ctx, args, mailOptions(args.Message)); err != nil {
		return fmt.Errorf("enqueue a reset: %w", err)
	}
	return nil
}

// startedReset is the result of startReset.
type startedReset struct{ userID uuid.UUID }

// startReset sends the same message on behalf of an administrator, who never learns the token
// (ASVS 5.0 6.4.6).
func (m *Module) startReset(ctx context.Context, id uuid.UUID, key idempotency.Key[startedReset]) (result idempotency.Result[startedReset], err error) {
	if err := m.requireMailer(); err != nil {
		return result, err
	}
	err = m.messages.allow(ctx, mailReset+":"+byAdmin, id.String(), func() (err error) {
		result, err = idempotency.Do(ctx, m.running, m.pool, key, func(tx pgx.Tx) (startedReset, error) {
			return startedReset{id}, m.enqueueStartedReset(ctx, tx, id)
		})
		return err
	})
	return result, err
}

func (m *Module) enqueueStartedReset(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	u, err := one(ctx, tx, id)
	if err != nil {
		return err
	}
	if !u.Active {
		return fault.New(fault.KindConflict, "account-inactive", "The account is not active; activate it first.")
	}
	if err := recordResetRequest(ctx, tx, id); err != nil {
		return err
	}
	return m.enqueue(ctx, tx, MailArgs{Message: mailReset, ID: id, Facts: map[string]string{factBy: byAdmin}})
}

func invalidReset(more ...fault.Field) error {
	f := invalidToken("/token", "invalid-reset-token", "The code is not valid, was used, has expired, or was replaced by that of a later message.")
	f.Fields = append(f.Fields, more...)
	return f
}

// confirmReset sets a new password with a token and ends all sessions. Whoever has the token can read
// the messages to the address, so that it counts as verified.
func (m *Module) confirmReset(ctx context.Context, token, password string) error {
	hash, ok := hashOf(token)
	if !ok {
		return invalidReset(validatePassword("/newPassword", password, "")...)
	}
	u, err := ownerOf(ctx, m.pool, hash, mailReset)
	if errors.Is(err, errToken) {
		return invalidReset(validatePassword("/newPassword", password, "")...)
	}
	if err != nil {
		return err
	}
	if wrong := validatePassword("/newPassword", password, u.Email); wrong != nil {
		return fault.Invalid(wrong...)
	}
	passwordHash, err := m.hashes.make(ctx, known, password)
	if err != nil {
		return err
	}
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := useToken(ctx, tx, u.ID, hash, mailReset); err != nil {
			return err
		}
		return m.reset(ctx, tx, u.ID, passwordHash)
	})
	m.sessions.Committed(ctx, u.ID) // even on an error, because the commit may have succeeded
	if errors.Is(err, errToken) {
		return invalidReset()
	}
	return err
}

func (m *Module) reset(ctx context.Context, tx pgx.Tx, id uuid.UUID, passwordHash string) error {
	err := ent.On(tx).User.UpdateOneID(id).Where(user.DeletedAtIsNil()).
		SetPasswordHash(passwordHash).SetPasswordMustChange(false).AddPasswordVersion(1).SetUpdatedAt(postgres.Now()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("reset the password of %s: %w", id, err)
	}
	if err := m.markVerified(ctx, tx, id); err != nil {
		return err
	}
	if err := m.sessions.EndAll(ctx, tx, id, "password-reset"); err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, audit.Entry{Action: passwordReset, Subject: id.String(), User: id}); err != nil {
		return err
	}
	return m.Notify(ctx, tx, id, noticeReset, originOf(ctx))
}

// endResets makes the tokens for a reset invalid when the password changes in another way.
func endResets(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if _, err := tx.Exec(ctx, `delete from account_tokens where user_id = $1 and purpose = $2`, id, mailReset); err != nil {
		return fmt.Errorf("end the resets of %s: %w", id, err)
	}
	return nil
}
