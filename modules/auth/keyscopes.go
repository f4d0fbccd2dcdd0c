package auth

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// KeyScopes returns the scopes of the API keys that are neither revoked nor expired. It does
// not check whether the owner is active. It reads with q, which may be a transaction, and does
// not cache.
func (m *Module) KeyScopes(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.ScopeSet, error) {
	rows, err := q.Query(ctx, `
		select id, scopes from api_keys
		where id = any($1) and revoked_at is null and (expires_at is null or expires_at > clock_timestamp())`, ids)
	if err != nil {
		return nil, fmt.Errorf("read the scopes of %d keys: %w", len(ids), err)
	}
	valid := map[uuid.UUID]identity.ScopeSet{}
	var id uuid.UUID
	var scopes []identity.Scope
	_, err = pgx.ForEachRow(rows, []any{&id, &scopes}, func() error {
		valid[id] = identity.ScopesOf(scopes...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the scopes of %d keys: %w", len(ids), err)
	}
	return valid, nil
}
