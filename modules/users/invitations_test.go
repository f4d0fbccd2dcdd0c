package users

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// invited creates an invitation and returns its token.
func (m *mailing) invited(by string, n int, email string, more ...string) string {
	m.t.Helper()
	if a := m.do("POST", "/v1/invitations", by, body(append([]string{"email", email}, more...)...)); a.status != 201 {
		m.t.Fatalf("%d %s", a.status, a.body)
	}
	return m.token(email, n)
}

// SPEC A10: who may register depends on REGISTRATION and on an invitation to the same address.
func TestRegistrationModes_A10(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{registrationOpen, registrationInvite, registrationOff} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			m := setupMail(t, func(d *Deps) { d.Registration = mode })
			root := as(m.verified("root@example.com", identity.Admin))
			if mode == registrationOff {
				for _, a := range []answered{m.register("ann@example.com"), m.register("ann@example.com", "invitation", "x"), m.do("POST", "/v1/invitations", root, body("email", "ann@example.com"))} {
					if a.status != 403 || a.member("code") != "registration-closed" {
						t.Errorf("%d %s", a.status, a.body)
					}
				}
				return
			}

			refused := "403 registration-closed"
			without := m.register("eve@example.com")
			if mode == registrationOpen {
				refused = "422 invalid-invitation"
			}
			if got := fmt.Sprint(without.status, " ", without.member("code")); got != refused && (mode != registrationOpen || without.status != 201) {
				t.Errorf("without an invitation: %s", without.body)
			}
			token := m.invited(root, 1, "Ann@example.com", "role", "admin")
			for what, a := range map[string]answered{
				"made up": m.register("ann@example.com", "invitation", strings.Repeat("A", 43)), "nonsense": m.register("ann@example.com", "invitation", "x"),
				"another address": m.register("zoe@example.com", "invitation", token),
			} {
				if got := fmt.Sprint(a.status, " ", a.member("code")); got != refused {
					t.Errorf("%s: %s", what, a.body)
				}
			}

			a := m.register("ann@example.com", "invitation", token)

			if a.status != 201 || a.member("role") != "admin" || !strings.Contains(a.body, `"emailVerified":true`) {
				t.Errorf("%d %s", a.status, a.body)
			}
			if again := m.register("ann@example.com", "invitation", token); again.status == 201 {
				t.Error("an invitation is used twice")
			}
			if n := m.count(`select count(*) from invitations`); n != 0 {
				t.Errorf("%d invitations are left", n)
			}
			if got := m.trail(a.member("id")); got != `user.registered [{"field":"role","after":"admin"}]` {
				t.Errorf("the trail is %s", got)
			}
			m.idle()
		})
	}
}

// SPEC A10: an invitation ends when it expires, is withdrawn, or its author is no administrator any more,
// also if that happens while a registration with it is under way.
func TestInvitationsEnd_A10(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]string{
		"expired":            `update invitations set expires_at = now()`,
		"withdrawn":          `delete from invitations`,
		"author demoted":     `update users set role = 'user' where email = 'author@example.com'`,
		"author deactivated": `update users set active = false where email = 'author@example.com'`,
		"author deleted":     `update users set deleted_at = now() where email = 'author@example.com'`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := setupMail(t)
			token := m.invited(as(m.verified("author@example.com", identity.Admin)), 1, "ann@example.com")
			admitted, err := draftOf("ann@example.com", goodPassword, "", identity.User)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.admitInvited(m.ctx, &admitted, token); err != nil {
				t.Fatal(err)
			}
			m.exec(end)
			if err := m.admitInvited(m.ctx, &draft{key: admitted.key}, token); !fault.Is(err, "invalid-invitation") {
				t.Errorf("it is accepted before the password is hashed: %v", err)
			}
			if _, err := m.insert(m.ctx, admitted, registered); !fault.Is(err, "invalid-invitation") || m.count(`select count(*) from users where email = 'ann@example.com'`) != 0 {
				t.Errorf("it ended after it was checked: %v", err)
			}
			if a := m.register("ann@example.com", "invitation", token); a.status != 422 || a.codes() != "/invitation invalid-invitation" {
				t.Errorf("%d %s", a.status, a.body)
			}
			m.idle()
		})
	}
}

// SPEC A10: of concurrent registrations with one invitation, one succeeds.
func TestInvitationRaces_A10(t *testing.T) {
	t.Parallel()
	m := setupMail(t, func(d *Deps) { d.Registration = registrationInvite })
	token := m.invited(as(m.verified("root@example.com", identity.Admin)), 1, "ann@example.com")
	statuses := make([]int, 6)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() { statuses[i] = m.register("ann@example.com", "invitation", token).status })
	}
	all.Wait()
	if n := len(slices.DeleteFunc(slices.Clone(statuses), func(s int) bool { return s != 201 })); n != 1 || slices.Max(statuses) >= 500 {
		t.Errorf("%v", statuses)
	}
	m.idle()
}

// SPEC A10, C3: administrators create, list, read and withdraw invitations. A repeated request sends one
// message, and what is stored of it names no address.
func TestInvitations_A10(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	root := as(m.verified("root@example.com", identity.Admin))
	first := m.do("POST", "/v1/invitations", root, body("email", "ann@example.com"), "Idempotency-Key", "k1")
	again := m.do("POST", "/v1/invitations", root, body("email", "ann@example.com"), "Idempotency-Key", "k1")
	if first.status != 201 || first.body != again.body || first.header.Get("Location") != "/v1/invitations/"+first.member("id") || first.member("role") != "user" {
		t.Errorf("%d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	if a := m.do("POST", "/v1/invitations", root, body("email", "ANN@example.com")); a.status != 409 || a.member("code") != "already-invited" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := m.do("POST", "/v1/invitations", root, body("email", "root@example.com")); a.status != 409 || a.member("code") != "email-taken" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := m.do("POST", "/v1/invitations", root, body("email", "nobody", "role", "owner")); a.status != 422 || a.codes() == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	token := m.token("ann@example.com", 1)
	m.do("POST", "/v1/invitations", root, body("email", "bob@example.com"))
	page := m.do("GET", "/v1/invitations?limit=1", root, "")
	if !strings.Contains(page.body, `"bob@example.com"`) || strings.Contains(page.body, "ann@") || page.member("nextCursor") == "" {
		t.Errorf("%s", page.body)
	}
	if next := m.do("GET", "/v1/invitations?limit=1&cursor="+page.member("nextCursor"), root, ""); !strings.Contains(next.body, `"ann@example.com"`) {
		t.Errorf("%s", next.body)
	}
	one := "/v1/invitations/" + first.member("id")
	if a := m.do("GET", one, root, ""); a.status != 200 || a.member("email") != "ann@example.com" {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, want := range []int{204, 404} {
		if a := m.do("DELETE", one, root, ""); a.status != want {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := m.register("ann@example.com", "invitation", token); a.status != 422 {
		t.Errorf("a withdrawn invitation: %d %s", a.status, a.body)
	}
	if got := m.trail(first.member("id")); got != "invitation.created [{\"field\":\"role\",\"after\":\"user\"}]\ninvitation.deleted [{\"field\":\"role\",\"after\":\"user\"}]" {
		t.Errorf("the trail is %s", got)
	}
	m.exec(`update invitations set expires_at = now()`)
	if a := m.do("POST", "/v1/invitations", root, body("email", "bob@example.com")); a.status != 201 {
		t.Errorf("an expired one is not replaced: %d %s", a.status, a.body)
	}
	m.idle()
}
