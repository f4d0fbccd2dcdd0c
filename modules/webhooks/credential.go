package webhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// credential: the API key that made the endpoint was revoked or has expired, lost a scope,
// or its account is not active.
const credential = "credential"

// carries are the scopes of what an endpoint gives away, besides those of the route: a key
// without them would read by a webhook what it may not read itself (SPEC A8). They are those
// of the socket, which tells the same.
var carries = []identity.Scope{identity.EventsRead}

// keyIsValid reports whether a key still has the scopes that an endpoint created by it needs.
func keyIsValid(keys map[uuid.UUID]identity.ScopeSet, key uuid.UUID) bool {
	scopes, there := keys[key]
	return there && scopes.Has(identity.WebhooksWrite) && !slices.ContainsFunc(carries, func(s identity.Scope) bool { return !scopes.Has(s) })
}

// mayCarry refuses a key that asks for more to be sent, or for another receiver, than it
// might read itself.
func mayCarry(c identity.Caller) error {
	for _, scope := range carries {
		if !c.AllowsScope(scope) {
			return identity.ScopeMissing(scope)
		}
	}
	return nil
}

// keyOf returns the id of the API key that the caller used, nil for a session.
func keyOf(c identity.Caller) (id *uuid.UUID, scopes []string) {
	if !c.IsKey() {
		return nil, nil
	}
	for _, scope := range c.Scopes.List() {
		scopes = append(scopes, string(scope))
	}
	return &c.KeyID, scopes
}

// made records whom a change makes answerable for what is sent from now on: who chooses the
// receiver or enables it, and a key also when it chooses the types. Then the endpoint ends
// with the key, regardless of who created it.
func (to change) made(u *ent.WebhookUpdateOne, c identity.Caller) {
	chooses := to.url != nil || to.enabled != nil && *to.enabled
	key, scopes := keyOf(c)
	switch {
	case key != nil && (chooses || to.types != nil):
		u.SetKeyID(*key).SetKeyScopes(scopes)
	case key == nil && chooses:
		u.ClearKeyID().ClearKeyScopes()
	}
}

// keysOf returns what API keys may do now, as q reads it.
func (m *Module) keysOf(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.ScopeSet, error) {
	if len(ids) == 0 {
		return map[uuid.UUID]identity.ScopeSet{}, nil
	}
	return m.keys(ctx, q, ids)
}

// keyIsOver reports whether an API key, if not nil, lost the right to what it started.
func (m *Module) keyIsOver(ctx context.Context, q postgres.Querier, key *uuid.UUID) (bool, error) {
	if key == nil {
		return false, nil
	}
	keys, err := m.keysOf(ctx, q, []uuid.UUID{*key})
	return err == nil && !keyIsValid(keys, *key), err
}

// endOfKey disables an endpoint whose API key is no longer valid, in one transaction with the
// check. It returns false if the endpoint has got another credential meanwhile.
func (m *Module) endOfKey(ctx context.Context, id uuid.UUID) (ended bool, err error) {
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		ended = false
		var key *uuid.UUID
		var owner uuid.UUID
		err := tx.QueryRow(ctx, `select key_id, owner_id from webhooks where id = $1 and enabled and deleted_at is null for no key update`, id).Scan(&key, &owner)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && key == nil {
			return nil
		}
		if err != nil {
			return err
		}
		keys, err := m.keysOf(ctx, tx, []uuid.UUID{*key})
		if err != nil {
			return err
		}
		roles, err := m.roles(ctx, tx, []uuid.UUID{owner})
		if err != nil || keyIsValid(keys, *key) && roles[owner] != "" {
			return err
		}
		ended = true
		return disable(ctx, tx, id, credential)
	})
	if err != nil {
		return false, fmt.Errorf("end webhook %s with its key: %w", id, err)
	}
	if ended {
		m.disabled(ctx, id, credential)
	}
	return ended, nil
}

// Revoked makes Run check the endpoints that API keys created, because an account or a credential
// has changed. It never blocks; each attempt to deliver checks again.
func (m *Module) Revoked(uuid.UUID, uuid.UUID) { m.revoked.Send() }

// endWithKeys disables the endpoints of API keys that are no longer valid, so that the API
// shows it before the next delivery.
func (m *Module) endWithKeys(ctx context.Context) error {
	rows, err := m.pool.Query(ctx, `select id, key_id, owner_id from webhooks where key_id is not null and enabled and deleted_at is null`)
	if err != nil {
		return fmt.Errorf("find the webhooks of keys: %w", err)
	}
	type made struct{ id, key, owner uuid.UUID }
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w made, err error) {
		err = row.Scan(&w.id, &w.key, &w.owner)
		return w, err
	})
	if err != nil || len(list) == 0 {
		return err
	}
	ids, owners := make([]uuid.UUID, len(list)), make([]uuid.UUID, len(list))
	for i, w := range list {
		ids[i], owners[i] = w.key, w.owner
	}
	keys, err := m.keysOf(ctx, m.pool, ids)
	if err != nil {
		return err
	}
	roles, err := m.roles(ctx, m.pool, owners)
	if err != nil {
		return err
	}
	for _, w := range list {
		if keyIsValid(keys, w.key) && roles[w.owner] != "" {
			continue
		}
		if _, err := m.endOfKey(ctx, w.id); err != nil {
			return err
		}
	}
	return nil
}
