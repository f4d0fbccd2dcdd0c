package app

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/platform/web"
)

// withoutPassword are the routes that change sessions, keys or what belongs to another account and
// need no recent password, each with the reason.
var withoutPassword = map[string]string{
	"DELETE /v1/api-keys/{id}":           "it only takes rights away from the caller, and must be quick when a key leaks",
	"POST /v1/users/{id}/password-reset": "it only sends a message to the owner of the account",
}

// SPEC A11 (ASVS 5.0 7.5.1): each route that creates a credential or ends what others have refuses a
// session whose password was given more than five minutes ago, whatever its role, and accepts it once the
// password is confirmed. A new route fails here until it has RecentPassword or a line above.
func TestRoutesWithRecentPassword_A11(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	recent := 0
	for _, r := range described().Routes() {
		name := r.Method + " " + r.Path
		below := strings.HasPrefix(r.Path, "/v1/users/{id}/") || strings.HasPrefix(r.Path, "/v1/api-keys") || strings.HasPrefix(r.Path, "/v1/auth/sessions")
		if r.Method != http.MethodGet && below && !r.RecentPassword && withoutPassword[name] == "" {
			t.Errorf("%s needs no recent password: set RecentPassword, or list it with the reason", name)
		}
		if !r.RecentPassword {
			continue
		}
		recent++
		if name == "DELETE /v1/auth/totp" {
			continue // the log-in of an account with a factor needs a code: see TestOwnersManageTheirFactor_A13 of package auth
		}
		if withoutPassword[name] != "" {
			t.Errorf("%s is listed in withoutPassword", name)
		}
		target := m.targets(r)[0]
		if strings.HasPrefix(r.Path, "/v1/users/{id}") {
			target = "other account's"
		}
		old := *m.root
		who := &asker{name: "admin", who: &old, good: true}
		q := m.question(r, target, who)
		if name == "DELETE /v1/users/{id}/totp" {
			m.exec(someFactor, q.id)
		}
		old.client = m.s.logIn(m.root.email, m.root.password) // the node has not read this session yet
		m.exec(`update sessions set created_at = now() - interval '6 minutes', confirmed_at = null where id = $1`, sessionOf(old.client))

		if a := m.ask(who, q); a.status != 403 || a.text("code") != "password-confirmation-required" {
			t.Errorf("%s with an old password: %s", name, a)
		}
		old.want(204, "POST", "/v1/auth/confirm", fmt.Sprintf(`{"password":%q}`, old.password))
		if a := m.ask(who, q); a.status >= 300 {
			t.Errorf("%s with a confirmed password: %s", name, a)
		}
		m.spent(r, target, &asker{name: "admin", who: m.root, good: true})
		m.root.logIn(m.s) // the route may have ended it
	}
	if recent < 8 {
		t.Errorf("%d routes need a recent password", recent)
	}
	for name := range withoutPassword {
		if !slices.ContainsFunc(described().Routes(), func(r web.Route) bool { return name == r.Method+" "+r.Path }) {
			t.Errorf("there is no %s", name)
		}
	}
}
