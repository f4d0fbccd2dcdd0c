package auth

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC A8: what keys may do now, of those that are good, without a memory.
func TestKeyScopes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.caller(b.logsIn().access)
	ids := map[string]uuid.UUID{"unknown": uuid.New()}
	for _, name := range []string{"good", "revoked", "expired", "narrowed"} {
		k, _, err := b.createKey(b.ctx, c, name, identity.ScopesOf(identity.EventsRead, identity.WebhooksWrite), nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = k.id
	}
	all := []uuid.UUID{ids["good"], ids["revoked"], ids["expired"], ids["narrowed"], ids["unknown"]}
	if got, err := b.KeyScopes(b.ctx, b.pool, all); err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}

	if err := b.revokeKey(b.ctx, c.UserID, ids["revoked"]); err != nil {
		t.Fatal(err)
	}
	b.exec(`update api_keys set expires_at = now() where name = 'expired'`)
	b.exec(`update api_keys set scopes = '{webhooks:write}' where name = 'narrowed'`)
	got, err := b.KeyScopes(b.ctx, b.pool, all)

	if err != nil || len(got) != 2 || !slices.Equal(got[ids["narrowed"]].List(), []identity.Scope{identity.WebhooksWrite}) ||
		got[ids["good"]] != identity.ScopesOf(identity.EventsRead, identity.WebhooksWrite) {
		t.Errorf("%v %v", got, err)
	}
}
