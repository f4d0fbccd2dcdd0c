package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/webhook"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// account: the account of the endpoint was deactivated or deleted, or lost the role on which the
// subscription depends. Only the owner enables such an endpoint again.
const account = "account"

// mayHave reports whether an account with this role may have an endpoint for the orders of a user,
// or of all users if user is nil. An account that is not active has no role.
func mayHave(role identity.Role, owner uuid.UUID, user *uuid.UUID) bool {
	return role == identity.Admin || role == identity.User && user != nil && *user == owner
}

// checkOwner refuses an endpoint that its owner may not have. The transaction holds a lock for
// which DisableOf waits, so the role cannot be lost unnoticed before the commit.
func (m *Module) checkOwner(ctx context.Context, tx pgx.Tx, owner uuid.UUID, user *uuid.UUID) error {
	roles, err := m.roles(ctx, tx, []uuid.UUID{owner})
	if err != nil || mayHave(roles[owner], owner, user) {
		return err
	}
	if roles[owner] == "" {
		return fault.New(fault.KindForbidden, "forbidden", "The account is not active.")
	}
	return forOthers()
}

func forOthers() error {
	return fault.New(fault.KindForbidden, "forbidden", "Only administrators may subscribe to the orders of other users.")
}

// DisableOf disables the endpoints that an account may not have with its new role, or all of them
// if the role is empty, in the transaction that changes the account and after it has written the
// account's row. Their pending deliveries are held when their jobs run, or by the sweep. It takes
// the lock of creations first, so each endpoint of the account either exists now or its creation
// sees the new role.
func (m *Module) DisableOf(ctx context.Context, tx pgx.Tx, owner uuid.UUID, role identity.Role) error {
	if role == identity.Admin {
		return nil
	}
	if err := lockCreation(ctx, tx); err != nil {
		return err
	}
	// Without these locks the update would not see an endpoint that is enabled at this moment.
	if _, err := tx.Exec(ctx, `select from webhooks where owner_id = $1 and deleted_at is null order by id for no key update`, owner); err != nil {
		return fmt.Errorf("lock the webhooks of %s: %w", owner, err)
	}
	rows, err := tx.Query(ctx, `
		update webhooks set enabled = false, disabled_reason = $3, disabled_at = $4, updated_at = $4
		where owner_id = $1 and enabled and deleted_at is null and ($2 or user_id is distinct from owner_id)
		returning id`, owner, role == "", account, postgres.Now())
	if err != nil {
		return fmt.Errorf("disable the webhooks of %s: %w", owner, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("disable the webhooks of %s: %w", owner, err)
	}
	for _, id := range ids {
		if err := recordDisabled(ctx, tx, id, owner, account); err != nil {
			return err
		}
		m.disabled(ctx, id, account)
	}
	return nil
}

// lockCreation serialises the creation of endpoints. It is taken before the row of an endpoint is
// locked.
func lockCreation(ctx context.Context, tx pgx.Tx) error { return postgres.Lock(ctx, tx, "webhooks") }

// forAll returns the number of endpoints for the orders of all users that count towards their
// limit: those of the accounts that are active administrators now (SPEC E8).
func (m *Module) forAll(ctx context.Context, tx pgx.Tx, more ...func(*ent.WebhookQuery)) (n int, err error) {
	q := ent.On(tx).Webhook.Query().Where(webhook.UserIDIsNil(), webhook.DeletedAtIsNil())
	for _, narrow := range more {
		narrow(q)
	}
	list, err := q.Select(webhook.FieldOwnerID).All(ctx)
	if err != nil {
		return 0, fmt.Errorf("count the webhooks: %w", err)
	}
	owners := make([]uuid.UUID, len(list))
	for i, w := range list {
		owners[i] = w.OwnerID
	}
	roles, err := m.roles(ctx, tx, owners)
	if err != nil {
		return 0, err
	}
	for _, owner := range owners {
		if mayHave(roles[owner], owner, nil) {
			n++
		}
	}
	return n, nil
}

// reconcileEvery is the interval of disableLeft.
const reconcileEvery = time.Hour

// disableLeft disables endpoints that their owners may not have. They are disabled with the change of
// the account, except by nodes of the previous version, which run beside this one while it is deployed.
func (m *Module) disableLeft(ctx context.Context) error {
	rows, err := m.pool.Query(ctx, `
		select owner_id, bool_or(user_id is distinct from owner_id) from webhooks where enabled and deleted_at is null group by owner_id`)
	if err != nil {
		return fmt.Errorf("find the owners of webhooks: %w", err)
	}
	forOthers := map[uuid.UUID]bool{}
	var owners []uuid.UUID
	var owner uuid.UUID
	var others bool
	_, err = pgx.ForEachRow(rows, []any{&owner, &others}, func() error {
		owners, forOthers[owner] = append(owners, owner), others
		return nil
	})
	if err != nil {
		return fmt.Errorf("find the owners of webhooks: %w", err)
	}
	roles, err := m.roles(ctx, m.pool, owners)
	if err != nil {
		return err
	}
	for _, owner := range owners {
		if roles[owner] != "" && (roles[owner] == identity.Admin || !forOthers[owner]) {
			continue
		}
		err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
			if err := lockCreation(ctx, tx); err != nil {
				return err
			}
			now, err := m.roles(ctx, tx, []uuid.UUID{owner}) // the role may have come back
			if err != nil {
				return err
			}
			return m.DisableOf(ctx, tx, owner, now[owner])
		})
		if err != nil {
			return err
		}
	}
	return nil
}
