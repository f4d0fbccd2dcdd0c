package users

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// trail returns the entries about an account, oldest first.
func (b *bundle) trail(subject string) string {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, `select action || ' ' || changes from audit_entries where subject_id = $1 order by id`, subject)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

// SPEC F11: each change of an account is an entry with its values, but never a name.
func TestAccountsAreAudited_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.do("POST", "/v1/auth/register", "", body("email", "ann@example.com", "password", goodPassword, "name", "Ann Canary"))
	var ann User
	if err := json.Unmarshal([]byte(made.body), &ann); err != nil {
		t.Fatal(err)
	}
	admin, yes, no, name := identity.Admin, true, false, "Ann Otter"
	root := b.account("root@example.com", identity.Admin)
	for _, c := range []change{{role: &admin, name: &name}, {active: &no}, {active: &yes}, {active: &yes, name: &name}, {gone: true}} {
		if _, err := b.alter(b.ctx, ann.ID, c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.alter(b.ctx, root.ID, change{gone: true}); err == nil {
		t.Fatal("the last administrator is gone")
	}

	want := `user.registered [{"field":"role","after":"user"}]
user.role-changed [{"field":"role","before":"user","after":"admin"}]
user.updated [{"field":"name"}]
user.deactivated [{"field":"active","before":true,"after":false}]
user.activated [{"field":"active","before":false,"after":true}]
user.deleted [{"field":"role","before":"admin"}]`
	if got := b.trail(ann.ID.String()); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := b.trail(root.ID.String()); got != "" {
		t.Errorf("what was refused left %s", got)
	}
}

// SPEC F11: while no entry can be written, nothing changes.
func TestNoChangeWithoutAnEntry_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, admin, no := b.account("ann@example.com", identity.User), identity.Admin, false
	if _, err := b.pool.Exec(b.ctx, `alter table audit_entries add constraint no_entries check (action = 'none') not valid`); err != nil {
		t.Fatal(err)
	}

	register := b.do("POST", "/v1/auth/register", "", body("email", "eve@example.com", "password", goodPassword))
	_, role := b.alter(b.ctx, ann.ID, change{role: &admin})
	_, active := b.alter(b.ctx, ann.ID, change{active: &no})
	_, gone := b.alter(b.ctx, ann.ID, change{gone: true})
	password := b.change(ann.ID, goodPassword, "another canary")
	_, command := b.CreateAdmin(b.ctx, NewAdmin{Email: "second@example.com", Password: goodPassword})

	for i, err := range []error{role, active, gone, password, command} {
		if !postgres.Violates(err, "no_entries") {
			t.Errorf("%d: %v", i, err)
		}
	}
	if register.status != 500 {
		t.Errorf("registered: %d", register.status)
	}
	now, err := b.live(b.ctx, ann.ID)
	if err != nil || now.Role != "user" || !now.Active || now.PasswordVersion != ann.PasswordVersion {
		t.Errorf("the account is %v, %v", now, errors.Join(err))
	}
	if n := b.count(`select count(*) from users`); n != 1 {
		t.Error(fmt.Sprint(n, " accounts"))
	}
}
