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

// NewAdmin is an administrator to create.
type NewAdmin struct {
	Email, Password, Name string
	MustChange            bool // the password is only good for being changed
	// TakeOver deletes an ordinary account that has the address. Anyone could have registered it, so
	// it is not promoted: its password is known to somebody else.
	TakeOver bool
}

// CreateAdmin creates an administrator, for the command line. If an administrator has the
// address, it changes nothing and returns false. An ordinary account with the address is 409
// "email-taken", or with TakeOver is deleted in the same transaction, together with its sessions,
// API keys and webhooks.
func (m *Module) CreateAdmin(ctx context.Context, a NewAdmin) (isNew bool, err error) {
	fresh, err := draftOf(a.Email, a.Password, a.Name, identity.Admin)
	if err != nil {
		return false, err
	}
	fresh.mustChange = a.MustChange
	if a.TakeOver {
		err = m.takeOver(ctx, fresh, a.Password)
	} else if err = m.finish(ctx, &fresh, a.Password, known); err == nil {
		_, err = m.insert(ctx, fresh, created)
	}
	if !fault.Is(err, "email-taken") {
		return err == nil, err
	}

	holder, exists, lookup := m.byEmail(ctx, a.Email)
	if lookup != nil {
		return false, lookup
	}
	if exists && identity.Role(holder.Role) == identity.Admin {
		return false, nil
	}
	return false, err
}

// takeOver deletes the accounts that have the address of the draft, and writes the draft with its
// password. An administrator who has the address is 409 "email-taken".
func (m *Module) takeOver(ctx context.Context, d draft, password string) (err error) {
	if d.hash, err = m.hashes.make(ctx, known, password); err != nil {
		return err
	}
	var gone []uuid.UUID
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
		if err := lockAccounts(ctx, tx); err != nil { // a promotion waits
			return err
		}
		gone, err = ent.On(tx).User.Query().Where(user.EmailKeyIn(keysOf(d.email)...), user.DeletedAtIsNil()).IDs(ctx)
		if err != nil {
			return fmt.Errorf("look for an address: %w", err)
		}
		for _, id := range gone {
			if err := m.takeFrom(ctx, tx, id); err != nil {
				return err
			}
		}
		_, _, err = m.add(ctx, tx, d, created)
		return err
	})
	for _, id := range gone {
		m.ended(ctx, id)
	}
	return err
}

// takeFrom deletes an ordinary account, so that its address is free.
func (m *Module) takeFrom(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	before, err := one(ctx, tx, id)
	if err != nil {
		return err
	}
	if identity.Role(before.Role) == identity.Admin {
		return emailTaken()
	}
	_, err = m.apply(ctx, tx, before, change{gone: true})
	return err
}

// EnsureAdmin creates the first administrator if there is none. Any number of nodes may call it
// concurrently. With mustChange the password is only good for being changed.
//
// If an ordinary account has the address, the result is 409 "email-taken": it is neither promoted nor
// deleted, because anyone could have registered it, and only the operator can say whose it is. Callers
// go on without an administrator, so that a registration cannot stop the start (SPEC F2).
func (m *Module) EnsureAdmin(ctx context.Context, email, password string, mustChange bool) error {
	there, err := hasAdmin(ctx, m.pool)
	if err != nil || there {
		return err
	}

	fresh, err := m.prepare(ctx, email, password, "", identity.Admin)
	if err != nil && !fault.Is(err, "email-taken") {
		return err
	}
	taken := err
	fresh.mustChange = mustChange
	var replaced uuid.UUID
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
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
		_, replaced, err = m.add(ctx, tx, fresh, created)
		return err
	})
	m.ended(ctx, replaced)
	return err
}

func hasAdmin(ctx context.Context, q postgres.Querier) (bool, error) {
	there, err := ent.On(q).User.Query().Where(admins()...).Exist(ctx)
	if err != nil {
		return false, fmt.Errorf("look for an admin: %w", err)
	}
	return there, nil
}
