package auth

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC A5, A7 (ASVS 5.0 7.4.5): an administrator lists and ends the sessions and keys of an account, on
// all nodes, also when the account is not active; others and those without a recent password do not.
func TestAdministratorsEndSessionsAndKeys_A7(t *testing.T) {
	t.Parallel()
	url, accounts := pgtest.URL(t), newAccounts()
	one, two := node(t, url, accounts), node(t, url, accounts)
	one.runs()
	two.runs()
	ann, root := accounts.id, uuid.Must(uuid.NewV7())
	anns := []pair{one.logsIn(), one.logsIn(), one.logsIn()}
	key := one.do("POST", "/v1/api-keys", anns[0].access, someKey)
	// The fake has one account that logs in; its sessions become another one's.
	accounts.set(func(f *fakeAccounts) { f.id, f.role, f.others = root, identity.Admin, []uuid.UUID{ann} })
	admin := one.logsIn()
	two.who(anns[0].access)
	path := "/v1/users/" + ann.String()
	sessionOf := func(p pair) string { return sidOf(t, p.access).String() }

	first := one.do("GET", path+"/sessions?limit=2", admin.access, "")
	if rest := one.do("GET", path+"/sessions?limit=2&cursor="+first.member("nextCursor"), admin.access, ""); first.status != 200 || rest.status != 200 ||
		!contains(first.body, sessionOf(anns[2]), sessionOf(anns[1])) || !contains(rest.body, sessionOf(anns[0])) || contains(rest.body, sessionOf(anns[1])) {
		t.Errorf("sessions: %d %s, %d %s", first.status, first.body, rest.status, rest.body)
	}
	if list := one.do("GET", path+"/api-keys", admin.access, ""); list.status != 200 || !contains(list.body, key.member("id")) || contains(list.body, "secret") {
		t.Errorf("keys: %d %s", list.status, list.body)
	}

	if got := one.do("DELETE", path+"/sessions/"+sessionOf(anns[0]), admin.access, ""); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
	two.until(func() bool { return two.who(anns[0].access).status == 401 })
	if got := one.do("DELETE", path+"/api-keys/"+key.member("id"), admin.access, ""); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
	two.until(func() bool { return two.who(key.member("secret")).status == 401 })
	if got := two.who(anns[1].access); got.status != 200 {
		t.Errorf("another session: %d", got.status)
	}
	if got := two.do("DELETE", path+"/sessions", admin.access, ""); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
	one.until(func() bool { return one.who(anns[1].access).status == 401 && one.who(anns[2].access).status == 401 })
	if got := one.who(admin.access); got.status != 200 {
		t.Errorf("the administrator's own session: %d", got.status)
	}

	one.outdates(admin.access)
	for _, row := range []struct {
		status       int
		method, path string
	}{
		{403, "DELETE", path + "/sessions"},
		{403, "DELETE", path + "/sessions/" + uuid.NewString()},
		{403, "DELETE", path + "/api-keys/" + uuid.NewString()},
		{200, "GET", path + "/sessions"},
		{200, "GET", path + "/api-keys"},
		{404, "GET", "/v1/users/" + uuid.NewString() + "/sessions"},
		{404, "GET", "/v1/users/" + uuid.NewString() + "/api-keys"},
	} {
		if got := one.do(row.method, row.path, admin.access, ""); got.status != row.status {
			t.Errorf("%s %s: %d %s", row.method, row.path, got.status, got.body)
		}
	}
	one.confirms(admin.access, goodPassword)
	for _, what := range []string{"/sessions/" + sessionOf(admin), "/sessions/" + sessionOf(anns[1]), "/api-keys/" + key.member("id")} {
		if got := one.do("DELETE", path+what, admin.access, ""); got.status != 404 {
			t.Errorf("another account's, or ended: %s: %d %s", what, got.status, got.body)
		}
	}
	for action, want := range map[string]int{"session.ended": 1, "user.sessions-ended": 1, "api-key.revoked": 1} {
		if n := one.count(`select count(*) from audit_entries where action = $1 and user_id = $2 and actor_id = $3`, action, ann, root); n != want {
			t.Errorf("%s: %d entries", action, n)
		}
	}
	accounts.set(func(f *fakeAccounts) { f.role = identity.User })
	one.sessions.Committed(one.ctx, root)
	for _, what := range [][2]string{{"GET", "/sessions"}, {"DELETE", "/sessions"}, {"GET", "/api-keys"}} {
		if got := one.do(what[0], path+what[1], admin.access, ""); got.status != 403 || got.member("code") != "forbidden" {
			t.Errorf("%s by a user: %d %s", fmt.Sprint(what), got.status, got.body)
		}
	}
}

func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
