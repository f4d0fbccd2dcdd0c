package auth

import (
	"testing"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC A12: a session of an account with an initial password can change it, log out and end sessions;
// the new session can do everything.
func TestInitialPassword_A12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accounts.set(func(f *fakeAccounts) { f.restriction = identity.PasswordChangeRequired })
	mine := b.logsIn()
	got := b.refreshes(mine.refresh)
	for _, token := range []string{mine.access, got.member("accessToken")} {
		for _, what := range [][2]string{{"GET", "/v1/who"}, {"GET", "/v1/root"}, {"GET", "/v1/api-keys"}} {
			if got := b.do(what[0], what[1], token, ""); got.status != 403 || got.member("code") != "password-change-required" || got.member("detail") == "" {
				t.Errorf("%s: %d %s", what, got.status, got.body)
			}
		}
	}
	if got := b.do("POST", "/v1/auth/logout", b.logsIn().access, ""); got.status != 204 {
		t.Errorf("log out: %d %s", got.status, got.body)
	}

	got = b.do("POST", "/v1/auth/password", mine.access, object("currentPassword", goodPassword, "newPassword", "second canary"))
	b.accounts.set(func(f *fakeAccounts) { f.restriction = identity.Unrestricted }) // the module users does it

	if who := b.who(got.member("accessToken")); got.status != 200 || who.status != 200 {
		t.Errorf("%d %s, then %d %s", got.status, got.body, who.status, who.body)
	}
}
