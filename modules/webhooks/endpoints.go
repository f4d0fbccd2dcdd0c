package webhooks

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/webhook"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	maxWebhooks = 50 // per account
	maxOfAll    = 50 // for the orders of all users: every event creates a delivery to each
)

// newEndpoint is an endpoint to create.
type newEndpoint struct {
	url, description, ordering string
	types                      []string
	user                       *uuid.UUID
	enabled                    bool
}

// create creates an endpoint of the caller and returns it with its secret, which is not shown
// again.
func (m *Module) create(ctx context.Context, c identity.Caller, w newEndpoint) (*ent.Webhook, signature.Secret, error) {
	if err := m.validate(ctx, c, &w); err != nil {
		return nil, nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, nil, err
	}
	secret := signature.NewSecret()
	var row *ent.Webhook
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := m.room(ctx, tx, c.UserID, w.user); err != nil {
			return err
		}
		at := postgres.Now()
		create := ent.On(tx).Webhook.Create().SetID(id).SetOwnerID(c.UserID).SetNillableUserID(w.user).
			SetURL(w.url).SetDescription(w.description).SetTypes(w.types).SetOrdering(w.ordering).
			SetEnabled(w.enabled).SetSecret(secret).SetCreatedAt(at).SetUpdatedAt(at)
		if key, scopes := keyOf(c); key != nil {
			create.SetKeyID(*key).SetKeyScopes(scopes)
		}
		if !w.enabled {
			create.SetDisabledReason(byHand).SetDisabledAt(at)
		}
		if row, err = create.Save(ctx); err != nil {
			return err
		}
		return recordEndpoint(ctx, tx, auditCreated, row, differences(nil, row)...)
	})
	if err != nil {
		return nil, nil, err
	}
	m.log.InfoContext(ctx, "webhook created", "webhook_id", id, "user_id", c.UserID)
	return row, secret, nil
}

// validate returns all faults of a new endpoint, and sets the user for whom a caller without
// administrator rights creates it.
func (m *Module) validate(ctx context.Context, c identity.Caller, w *newEndpoint) error {
	switch {
	case !c.IsAdmin() && w.user != nil && *w.user != c.UserID:
		return forOthers()
	case !c.IsAdmin():
		w.user = &c.UserID
	}
	fields := m.unknownTypes(w.types)
	if w.user != nil && *w.user != c.UserID {
		roles, err := m.roles(ctx, m.pool, []uuid.UUID{*w.user})
		if err != nil {
			return err
		}
		if roles[*w.user] == "" {
			fields = append(fields, fault.Field{Pointer: "/userId", Code: "unknown", Message: "is not the id of an active user"})
		}
	}
	return m.validateURL(ctx, w.url, fields)
}

// validateURL adds the faults of a URL to other faults.
func (m *Module) validateURL(ctx context.Context, url string, fields []fault.Field) error {
	err := m.addresses.validate(ctx, url)
	if f, ok := fault.As(err); ok && f.Kind == fault.KindInvalid {
		return fault.Invalid(append(f.Fields, fields...)...)
	}
	if len(fields) > 0 {
		return fault.Invalid(fields...)
	}
	return err
}

func (m *Module) unknownTypes(types []string) (wrong []fault.Field) {
	for i, t := range types {
		if !slices.Contains(m.types, t) {
			wrong = append(wrong, fault.Field{Pointer: "/types/" + strconv.Itoa(i), Code: "enum", Message: "is not an event type"})
		}
	}
	return wrong
}

// room refuses a new endpoint of an account that has the maximum number or may not have this
// endpoint any more, under a lock, so that concurrent requests cannot exceed it.
func (m *Module) room(ctx context.Context, tx pgx.Tx, owner uuid.UUID, user *uuid.UUID) error {
	if err := lockCreation(ctx, tx); err != nil {
		return err
	}
	if err := m.checkOwner(ctx, tx, owner, user); err != nil {
		return err
	}
	mine, err := ent.On(tx).Webhook.Query().Where(webhook.OwnerID(owner), webhook.DeletedAtIsNil()).Count(ctx)
	if err != nil {
		return fmt.Errorf("count the webhooks of %s: %w", owner, err)
	}
	if mine >= maxWebhooks {
		return fault.New(fault.KindConflict, "too-many-webhooks", "You have %d webhooks, which is the maximum; delete one first.", mine)
	}
	if user != nil {
		return nil
	}
	all, err := m.forAll(ctx, tx)
	if err != nil {
		return err
	}
	if all >= maxOfAll {
		return fault.New(fault.KindConflict, "too-many-webhooks", "There are %d webhooks for the orders of all users, which is the maximum; delete one first, or set userId.", all)
	}
	return nil
}

// change has the new values; nil leaves a value as it is.
type change struct {
	url, description, ordering *string
	types                      *[]string
	enabled                    *bool
}

// change changes an endpoint of the caller. Enabling it does not send the deliveries that were
// held; they can be replayed.
func (m *Module) change(ctx context.Context, c identity.Caller, id uuid.UUID, to change) (row *ent.Webhook, err error) {
	if _, err := m.webhook(ctx, m.pool, c, id); err != nil {
		return nil, err
	}
	if to.url != nil || to.types != nil || to.enables() {
		if err := mayCarry(c); err != nil {
			return nil, err
		}
	}
	if err := m.validateChange(ctx, to); err != nil {
		return nil, err
	}

	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := to.lockCreation(ctx, tx); err != nil {
			return err
		}
		old, err := m.lock(ctx, tx, c.UserID, id)
		if err != nil {
			return err
		}
		if err := m.mayEnable(ctx, tx, old, to); err != nil {
			return err
		}
		if row, err = to.write(ctx, tx, c, old); err != nil {
			return fmt.Errorf("change webhook %s: %w", id, err)
		}
		if changes := differences(old, row); len(changes) > 0 {
			if err := recordEndpoint(ctx, tx, auditUpdated, row, changes...); err != nil {
				return err
			}
		}
		if old.Enabled && !row.Enabled {
			_, err = hold(ctx, tx, id)
		}
		return err
	})
	return row, err
}

// validateChange returns all faults of new values.
func (m *Module) validateChange(ctx context.Context, to change) error {
	var fields []fault.Field
	if to.types != nil {
		fields = m.unknownTypes(*to.types)
	}
	switch {
	case to.url != nil:
		return m.validateURL(ctx, *to.url, fields)
	case len(fields) > 0:
		return fault.Invalid(fields...)
	}
	return nil
}

func (to change) enables() bool { return to.enabled != nil && *to.enabled }

// lockCreation takes the lock of creations if the change enables the endpoint, which then counts
// like a new one.
func (to change) lockCreation(ctx context.Context, tx pgx.Tx) error {
	if !to.enables() {
		return nil
	}
	return lockCreation(ctx, tx)
}

// mayEnable refuses to enable an endpoint that its owner may not have any more. An administrator
// whose role came back enables no more endpoints for all users than the limit allows.
func (m *Module) mayEnable(ctx context.Context, tx pgx.Tx, old *ent.Webhook, to change) error {
	if !to.enables() || old.Enabled {
		return nil
	}
	if err := m.checkOwner(ctx, tx, old.OwnerID, old.UserID); err != nil || old.UserID != nil {
		return err
	}
	all, err := m.forAll(ctx, tx, func(q *ent.WebhookQuery) { q.Where(webhook.Enabled(true)) })
	if err != nil {
		return err
	}
	if all >= maxOfAll {
		return fault.New(fault.KindConflict, "too-many-webhooks", "%d webhooks for the orders of all users are enabled, which is the maximum; disable or delete one first.", all)
	}
	return nil
}

func (to change) write(ctx context.Context, tx pgx.Tx, c identity.Caller, old *ent.Webhook) (*ent.Webhook, error) {
	at := postgres.Now()
	u := ent.On(tx).Webhook.UpdateOneID(old.ID).SetUpdatedAt(at).
		SetNillableURL(to.url).SetNillableDescription(to.description).SetNillableOrdering(to.ordering)
	if to.types != nil {
		u.SetTypes(*to.types)
	}
	to.made(u, c)
	if to.enabled != nil && *to.enabled != old.Enabled {
		u.SetEnabled(*to.enabled)
		if *to.enabled {
			u.ClearDisabledReason().ClearDisabledAt().ClearFailingSince()
		} else {
			u.SetDisabledReason(byHand).SetDisabledAt(at)
		}
	}
	return u.Save(ctx)
}

// remove deletes an endpoint. Its pending deliveries are not sent; the cleaner deletes its
// deliveries later.
func (m *Module) remove(ctx context.Context, owner, id uuid.UUID) error {
	return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		old, err := m.lock(ctx, tx, owner, id)
		if err != nil {
			return err
		}
		if err := recordEndpoint(ctx, tx, auditDeleted, old, differences(old, nil)...); err != nil {
			return err
		}
		at := postgres.Now()
		if err := ent.On(tx).Webhook.UpdateOneID(id).SetDeletedAt(at).SetUpdatedAt(at).Exec(ctx); err != nil {
			return fmt.Errorf("delete webhook %s: %w", id, err)
		}
		if _, err := hold(ctx, tx, id); err != nil {
			return err
		}
		return finish(ctx, tx, id, "cancelled")
	})
}

// webhook returns an endpoint of the caller. Other users' endpoints are absent, also for
// administrators, who have routes of their own for them.
func (m *Module) webhook(ctx context.Context, q postgres.Querier, c identity.Caller, id uuid.UUID) (*ent.Webhook, error) {
	return webhookOf(ctx, q, c.UserID, id)
}

func webhookOf(ctx context.Context, q postgres.Querier, owner, id uuid.UUID) (*ent.Webhook, error) {
	row, err := ent.On(q).Webhook.Query().Where(webhook.ID(id), webhook.OwnerID(owner), webhook.DeletedAtIsNil()).Only(ctx)
	if ent.IsNotFound(err) {
		return nil, fault.NotFound("webhook")
	}
	if err != nil {
		return nil, fmt.Errorf("read webhook %s: %w", id, err)
	}
	return row, nil
}

func (m *Module) lock(ctx context.Context, tx pgx.Tx, owner, id uuid.UUID) (*ent.Webhook, error) {
	if _, err := tx.Exec(ctx, `select from webhooks where id = $1 for no key update`, id); err != nil {
		return nil, fmt.Errorf("lock webhook %s: %w", id, err)
	}
	return webhookOf(ctx, tx, owner, id)
}

// list returns the endpoints of an account, newest first, after the given id.
func (m *Module) list(ctx context.Context, owner, before uuid.UUID, limit int) ([]*ent.Webhook, error) {
	query := ent.On(m.pool).Webhook.Query().Where(webhook.OwnerID(owner), webhook.DeletedAtIsNil())
	if before != uuid.Nil {
		query.Where(webhook.IDLT(before))
	}
	rows, err := query.Order(webhook.ByID(sql.OrderDesc())).Limit(limit).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return rows, nil
}
