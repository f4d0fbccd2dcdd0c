package webhooks

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const anywhere = `{"url":"http://127.0.0.1:65001/"}`

// loses changes the role of an account as module users does.
func (n *node) loses(id uuid.UUID, role identity.Role) {
	n.bundle.t.Helper()
	n.bundle.must(postgres.InTx(n.bundle.ctx, n.bundle.pool, func(tx pgx.Tx) error {
		n.bundle.people.becomes(id, role)
		return n.DisableOf(n.bundle.ctx, tx, id, role)
	}))
}

// SPEC A5, E8: an endpoint that its owner may not have any more is disabled with the change, and stays
// so when the account is active again. Its owner enables it, if the role allows it.
func TestEndpointsEndWithTheAccount_A5(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	root := h.account(identity.Admin)
	all, _ := n.hook(root, "http://127.0.0.1:65001/", "")
	alices, _ := n.hook(root, "http://127.0.0.1:65001/", fmt.Sprintf(`,"userId":%q`, h.alice.UserID))
	own, _ := n.hook(root, "http://127.0.0.1:65001/", fmt.Sprintf(`,"userId":%q`, root.UserID))
	manual, _ := n.hook(root, "http://127.0.0.1:65001/", `,"enabled":false`)
	others, _ := n.hook(h.alice, "http://127.0.0.1:65001/", "")
	reason := func(who identity.Caller, id string) string {
		return n.want(200, who, "GET /v1/webhooks/"+id, "").text("disabledReason")
	}
	states := func(want ...string) {
		t.Helper()
		for i, id := range []string{all, alices, own, manual} {
			if got := reason(root, id); got != want[i] {
				t.Errorf("endpoint %d: %q, want %q", i, got, want[i])
			}
		}
	}

	n.loses(root.UserID, identity.User)
	states("account", "account", "", "manual")
	root.Role = identity.User
	for _, id := range []string{all, alices, manual} {
		if a := n.ask(root, "PATCH /v1/webhooks/"+id, `{"enabled":true}`); a.status != 403 || a.text("code") != "forbidden" {
			t.Errorf("enabled by a user: %d %s", a.status, a.raw)
		}
	}
	n.loses(root.UserID, "")
	states("account", "account", "account", "manual")
	n.loses(root.UserID, identity.Admin)
	states("account", "account", "account", "manual")
	root.Role = identity.Admin
	n.want(200, root, "PATCH /v1/webhooks/"+all, `{"enabled":true}`)
	states("", "account", "account", "manual")
	if got := reason(h.alice, others); got != "" {
		t.Errorf("another account's: %q", got)
	}
	if got := h.count(`select count(*) from audit_entries where action = 'webhook.disabled' and changes::text like '%account%'`); got != 3 {
		t.Errorf("%d entries", got)
	}
}

// SPEC A5: an endpoint that is created or enabled while the account is deactivated is disabled, or
// refused.
func TestEndpointIsEnabledWhileTheAccountEnds_A5(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	for range 10 {
		bob := h.account(identity.User)
		id, _ := n.hook(bob, "http://127.0.0.1:65001/", `,"enabled":false`)
		var made, enabled answer
		var both sync.WaitGroup
		both.Go(func() { made = n.ask(bob, "POST /v1/webhooks", anywhere) })
		both.Go(func() { enabled = n.ask(bob, "PATCH /v1/webhooks/"+id, `{"enabled":true}`) })
		both.Go(func() { n.loses(bob.UserID, "") })
		both.Wait()

		if made.status != 201 && made.status != 403 || enabled.status != 200 && enabled.status != 403 {
			t.Errorf("%d %s, %d %s", made.status, made.raw, enabled.status, enabled.raw)
		}
		if got := h.count(`select count(*) from webhooks where owner_id = $1 and enabled`, bob.UserID); got != 0 {
			t.Fatalf("%d endpoints are enabled", got)
		}
	}
}

// SPEC A5, G1: an endpoint is disabled with the account, also if another transaction has created it and
// not committed yet, or is about to enable it without the lock of creations, as a node of the previous
// version does.
func TestDisableWaitsForChangesOfEndpoints_A5_G1(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	for what, change := range map[string]func(tx pgx.Tx, bob uuid.UUID){
		"created": func(tx pgx.Tx, bob uuid.UUID) {
			h.must(lockCreation(h.ctx, tx))
			_, err := tx.Exec(h.ctx, `insert into webhooks (id, owner_id, user_id, url, types, ordering, secret, created_at, updated_at)
				values (gen_random_uuid(), $1, $1, 'http://127.0.0.1:65001/', '[]', 'none', '', now(), now())`, bob)
			h.must(err)
		},
		"enabled": func(tx pgx.Tx, bob uuid.UUID) {
			_, err := tx.Exec(h.ctx, `update webhooks set enabled = true, disabled_reason = null, disabled_at = null where owner_id = $1`, bob)
			h.must(err)
		},
	} {
		bob := h.account(identity.User)
		n.hook(bob, "http://127.0.0.1:65001/", `,"enabled":false`)
		tx, err := h.pool.Begin(h.ctx)
		h.must(err)
		t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		change(tx, bob.UserID)

		ended := make(chan struct{})
		go func() {
			defer close(ended)
			n.loses(bob.UserID, "")
		}()
		until(t, "the change of the account to wait, or to end", func() bool {
			select {
			case <-ended:
				return true
			default:
				return h.count(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) > 0
			}
		})
		h.must(tx.Commit(h.ctx))
		<-ended

		if got := h.count(`select count(*) from webhooks where owner_id = $1 and enabled`, bob.UserID); got != 0 {
			t.Errorf("%s meanwhile: %d endpoints are enabled", what, got)
		}
	}
}

// SPEC E8 (ASVS 5.0 15.2.2): endpoints for all orders of accounts that may not have them do not use
// up the number that administrators may have, and do not come back beyond it.
func TestFormerAdministratorsDoNotUseUpTheLimit_E8(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	root := h.account(identity.Admin)
	var first string
	for range maxOfAll {
		first, _ = n.hook(root, "http://127.0.0.1:65001/", "")
	}
	if a := n.ask(h.admin, "POST /v1/webhooks", anywhere); a.status != 409 || a.text("code") != "too-many-webhooks" {
		t.Fatalf("%d %s", a.status, a.raw)
	}

	for _, role := range []identity.Role{identity.User, ""} {
		n.loses(root.UserID, role)
		n.want(201, h.admin, "POST /v1/webhooks", anywhere)
	}
	for range maxOfAll - 2 {
		n.hook(h.admin, "http://127.0.0.1:65001/", "")
	}
	n.loses(root.UserID, identity.Admin)
	if a := n.ask(root, "PATCH /v1/webhooks/"+first, `{"enabled":true}`); a.status != 409 || a.text("code") != "too-many-webhooks" {
		t.Errorf("beyond the limit: %d %s", a.status, a.raw)
	}
}

// SPEC A7, E8 (ASVS 5.0 7.4.5): administrators see and delete the endpoints of every account, also of
// those that are not active, with a recent password.
func TestAdministratorsSeeAllEndpoints_A7(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	gone := h.account(identity.Admin)
	var ids []string
	for range 3 {
		id, _ := n.hook(gone, "http://127.0.0.1:65001/", "")
		ids = append(ids, id)
	}
	alices, _ := n.hook(h.alice, "http://127.0.0.1:65001/", "")
	n.loses(gone.UserID, "")
	path := "/v1/users/" + gone.UserID.String() + "/webhooks"
	root := h.admin
	root.PasswordAt = time.Now()

	first := n.want(200, h.admin, "GET "+path+"?limit=2", "")
	rest := n.want(200, h.admin, "GET "+path+"?limit=2&cursor="+first.text("nextCursor"), "")
	var seen []string
	for _, page := range []answer{first, rest} {
		for _, w := range page.body["data"].([]any) {
			w := w.(map[string]any)
			seen = append(seen, w["id"].(string))
			if w["disabledReason"] != "account" || w["secret"] != nil {
				t.Errorf("%v", w)
			}
		}
	}
	if slices.Reverse(seen); !slices.Equal(seen, ids) {
		t.Errorf("%v, want %v", seen, ids)
	}
	for _, row := range []struct {
		status int
		who    identity.Caller
		what   string
	}{
		{403, h.alice, "GET " + path},
		{403, h.alice, "DELETE " + path + "/" + ids[0]},
		{403, h.admin, "DELETE " + path + "/" + ids[0]}, // without a recent password
		{404, root, "DELETE " + path + "/" + alices},
		{404, root, "GET /v1/users/" + uuid.NewString() + "/webhooks"},
		{204, root, "DELETE " + path + "/" + ids[0]},
		{404, root, "DELETE " + path + "/" + ids[0]},
		{404, root, "DELETE /v1/webhooks/" + ids[1]}, // the own ones alone
	} {
		n.want(row.status, row.who, row.what, "")
	}
	if got := h.count(`select count(*) from audit_entries where action = 'webhook.deleted' and subject_id = $1 and user_id = $2`, ids[0], gone.UserID); got != 1 {
		t.Errorf("%d entries", got)
	}
}

// SPEC A5, G1: endpoints of an account that a node of the previous version changed are disabled too.
func TestLeftEndpointsAreDisabled_A5(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	root, gone := h.account(identity.Admin), h.account(identity.User)
	all, _ := n.hook(root, "http://127.0.0.1:65001/", "")
	own, _ := n.hook(root, "http://127.0.0.1:65001/", fmt.Sprintf(`,"userId":%q`, root.UserID))
	n.hook(gone, "http://127.0.0.1:65001/", "")
	n.hook(h.admin, "http://127.0.0.1:65001/", "")
	n.hook(h.alice, "http://127.0.0.1:65001/", "")
	off := func() int { return h.count(`select count(*) from webhooks where disabled_reason = 'account'`) }
	h.must(n.disableLeft(h.ctx))
	if off() != 0 {
		t.Fatalf("%d endpoints are disabled", off())
	}

	h.people.becomes(root.UserID, identity.User)
	h.people.becomes(gone.UserID, "")
	h.must(n.disableLeft(h.ctx))

	if off() != 2 {
		t.Errorf("%d endpoints are disabled", off())
	}
	for id, want := range map[string]bool{all: false, own: true} {
		if a := n.want(200, root, "GET /v1/webhooks/"+id, ""); a.body["enabled"] != want {
			t.Errorf("%s", a.raw)
		}
	}
}
