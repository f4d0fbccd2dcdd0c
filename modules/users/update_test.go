package users

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC A5, A7: what an administrator does, and what the sessions hear of it.
func TestAlter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.account("root@example.com", identity.Admin)
	ada := b.account("ada@example.com", identity.User)
	path := "/v1/users/" + ada.ID.String()
	rows := []struct {
		method, body string
		status       int
		calls        string
	}{
		{"PATCH", `{}`, 200, ""},
		{"PATCH", `{"name":"Ada"}`, 200, ""},
		{"PATCH", `{"name":"a\tb"}`, 422, ""},
		{"PATCH", `{"role":"owner"}`, 422, ""},
		{"PATCH", `{"role":"anyone"}`, 422, ""},
		{"PATCH", `{"role":null}`, 422, ""},
		{"PATCH", `{"active":"no"}`, 422, ""},
		{"PATCH", `{"email":"x@example.com"}`, 422, ""},
		{"PATCH", `{"role":"user"}`, 200, "committed"},
		{"PATCH", `{"role":"admin"}`, 200, "webhooks of admin, announce, committed"},
		{"PATCH", `{"role":"user"}`, 200, "webhooks of user, announce, committed"},
		{"PATCH", `{"role":"user","active":false}`, 200, "end account-deactivated, revoke account-deactivated, webhooks of , committed"},
		{"PATCH", `{"active":false}`, 200, "committed"},
		{"PATCH", `{"active":true}`, 200, "end account-deactivated, revoke account-deactivated, webhooks of , committed"},
		{"DELETE", ``, 204, "end account-deleted, revoke account-deleted, webhooks of , delete factor, committed"},
		{"DELETE", ``, 404, "committed"},
		{"PATCH", `{"name":"x"}`, 404, ""},
		{"GET", ``, 404, ""},
	}
	for _, row := range rows {
		got := b.do(row.method, path, as(root), row.body)
		if calls := b.sessions.taken(); got.status != row.status || calls != row.calls {
			t.Errorf("%s %s: got %d, sessions heard %q; want %d, %q (%s)", row.method, row.body, got.status, calls, row.status, row.calls, got.body)
		}
	}
	if got := b.do("POST", "/v1/auth/register", "", body("email", "Ada@example.com", "password", goodPassword)); got.status != 201 {
		t.Errorf("the address is not free again: %s", got.body)
	}
}

// SPEC A5: the current roles; an inactive user has none.
func TestPresentRoles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.account("root@example.com", identity.Admin)
	ada := b.account("ada@example.com", identity.User)
	away, gone := b.account("away@example.com", identity.Admin), b.account("gone@example.com", identity.Admin)
	b.do("PATCH", "/v1/users/"+away.ID.String(), as(root), `{"active":false}`)
	b.do("DELETE", "/v1/users/"+gone.ID.String(), as(root), "")
	ids := []uuid.UUID{root.ID, ada.ID, away.ID, gone.ID, uuid.New(), ada.ID}

	before, err := b.Roles(b.ctx, b.pool, ids)
	if err != nil || len(before) != 2 || before[root.ID] != identity.Admin || before[ada.ID] != identity.User {
		t.Errorf("%v, %v", before, err)
	}
	b.do("PATCH", "/v1/users/"+ada.ID.String(), as(root), `{"role":"admin"}`)
	if after, err := b.Roles(b.ctx, b.pool, ids); err != nil || after[ada.ID] != identity.Admin {
		t.Errorf("%v, %v", after, err)
	}
}

// SPEC A7: PATCH changes what it names and nothing else.
func TestPatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ada := b.account("ada@example.com", identity.User)

	got := b.do("PATCH", "/v1/users/me", as(ada), `{"name":"Ada L."}`)
	if got.status != 200 || got.member("name") != "Ada L." || got.member("role") != "user" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := b.do("PATCH", "/v1/users/me", as(ada), `{"role":"admin"}`); got.status != 422 {
		t.Errorf("raised oneself: %d %s", got.status, got.body)
	}
	if got := b.do("PATCH", "/v1/users/me", as(ada), `{"name":""}`); got.status != 200 || got.member("name") != "" {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// SPEC A5: the change and the end of the sessions are one commit.
func TestAlterIsOneCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.account("root@example.com", identity.Admin)
	ada := b.account("ada@example.com", identity.User)
	b.sessions.fail = errors.New("no")

	for _, body := range []string{`{"role":"admin"}`, `{"active":false}`} {
		if got := b.do("PATCH", "/v1/users/"+ada.ID.String(), as(root), body); got.status != 500 {
			t.Errorf("got %d", got.status)
		}
	}

	account, err := b.Account(b.ctx, ada.ID)
	if account != (identity.Account{Role: identity.User, Active: true}) || err != nil {
		t.Error(account, err)
	}
}

// SPEC A7: there is always an administrator.
func TestLastAdmin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.account("root@example.com", identity.Admin)
	off := b.account("off@example.com", identity.Admin)
	no := false
	if _, err := b.alter(b.ctx, off.ID, change{active: &no}); err != nil {
		t.Fatal(err)
	}
	path := "/v1/users/" + root.ID.String()

	for _, row := range []struct{ method, body string }{
		{"PATCH", `{"role":"user"}`}, {"PATCH", `{"active":false}`}, {"DELETE", ``},
	} {
		got := b.do(row.method, path, as(root), row.body)
		if got.status != 409 || got.member("code") != "last-admin" {
			t.Errorf("%s %s: got %d %s", row.method, row.body, got.status, got.body)
		}
	}
	if got := b.do("PATCH", path, as(root), `{"role":"admin","active":true,"name":"Root"}`); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// SPEC A7: also when all of them go at once, each in another way.
func TestLastAdminRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const many = 12
	var paths []string
	for i := range many {
		paths = append(paths, "/v1/users/"+b.account(fmt.Sprintf("root%d@example.com", i), identity.Admin).ID.String())
	}

	statuses := make([]int, many)
	var all sync.WaitGroup
	for i, path := range paths {
		all.Go(func() {
			who := "admin:" + strings.TrimPrefix(path, "/v1/users/")
			switch i % 3 {
			case 0:
				statuses[i] = b.do("PATCH", path, who, `{"role":"user"}`).status
			case 1:
				statuses[i] = b.do("PATCH", path, who, `{"active":false}`).status
			default:
				statuses[i] = b.do("DELETE", path, who, "").status
			}
		})
	}
	all.Wait()

	kept := 0
	for _, status := range statuses {
		if status == 409 {
			kept++
		} else if status != 200 && status != 204 {
			t.Errorf("got %d", status)
		}
	}
	if left := b.count("select count(*) from users where role = 'admin' and active and deleted_at is null"); left != 1 || kept != 1 {
		t.Errorf("%d left, %d refused", left, kept)
	}
}

// SPEC A7, without luck: one goes and has been let through, but is not committed,
// when the other asks. It must wait for the first, however it ends.
func TestLastAdminWaitsForTheOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.account("one@example.com", identity.Admin), b.account("two@example.com", identity.Admin)
	letThrough, answers := make(chan struct{}, 2), make(chan answered, 2)
	b.sessions.during = func() {
		letThrough <- struct{}{}
		for len(letThrough) < 2 && b.waiters() == 0 {
		}
	}
	demote := func(u string) { answers <- b.do("PATCH", "/v1/users/"+u, as(one), `{"role":"user"}`) }

	go demote(one.ID.String())
	go demote(two.ID.String())

	first, second := <-answers, <-answers
	if first.status+second.status != 200+409 {
		t.Errorf("got %d and %d", first.status, second.status)
	}
	if left := b.count("select count(*) from users where role = 'admin'"); left != 1 {
		t.Errorf("%d left", left)
	}
}

// SPEC A7: the role that each route requires.
func TestRoles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.account("root@example.com", identity.Admin)
	ada := b.account("ada@example.com", identity.User)
	one := "/v1/users/" + ada.ID.String()
	for _, row := range []struct {
		method, path, body         string
		anonymous, ordinary, admin int
	}{
		{"GET", "/v1/users/me", "", 401, 200, 200},
		{"PATCH", "/v1/users/me", `{}`, 401, 200, 200},
		{"GET", "/v1/users", "", 401, 403, 200},
		{"GET", one, "", 401, 403, 200},
		{"GET", "/v1/users/nonsense", "", 401, 403, 400},
		{"GET", "/v1/users/" + strings.Repeat("0", 8) + "-0000-7000-8000-000000000000", "", 401, 403, 404},
		{"PATCH", one, `{}`, 401, 403, 200},
		{"DELETE", one, "", 401, 403, 204},
	} {
		for who, want := range map[string]int{"": row.anonymous, as(ada): row.ordinary, as(root): row.admin} {
			if row.method == "DELETE" && want == 204 {
				continue // last
			}
			if got := b.do(row.method, row.path, who, row.body); got.status != want {
				t.Errorf("%s %s as %q: got %d, want %d", row.method, row.path, who, got.status, want)
			}
		}
	}
	if got := b.do("DELETE", one, as(root), ""); got.status != 204 || got.body != "" {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.account("root@example.com", identity.Admin)
	off := b.account("Off_1@example.com", identity.User)
	for i := range 5 {
		b.account(fmt.Sprintf("offX%d@example.com", i), identity.User)
	}
	no := false
	if _, err := b.alter(b.ctx, off.ID, change{active: &no}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.alter(b.ctx, b.account("gone@example.com", identity.User).ID, change{gone: true}); err != nil {
		t.Fatal(err)
	}

	for query, want := range map[string]string{
		"":                          "offX4 offX3 offX2 offX1 offX0 Off_1 root",
		"?role=admin":               "root",
		"?active=false":             "Off_1",
		"?active=true&role=user":    "offX4 offX3 offX2 offX1 offX0",
		"?q=OFF_":                   "Off_1", // and not any letter
		"?q=o%25":                   "",
		"?q=offx3@EXAMPLE.com":      "offX3",
		"?limit=3":                  "offX4 offX3 offX2 offX1 offX0 Off_1 root",
		"?limit=7":                  "offX4 offX3 offX2 offX1 offX0 Off_1 root",
		"?limit=1&role=user&q=offX": "offX4 offX3 offX2 offX1 offX0",
	} {
		if got := b.walk("/v1/users"+query, as(root)); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=101", "?role=owner", "?active=yes", "?q=", "?cursor=x", "?nope=1"} {
		if got := b.do("GET", "/v1/users"+query, as(root), ""); got.status != 400 {
			t.Errorf("%s: got %d %s", query, got.status, got.body)
		}
	}
}

// walk reads every page and returns the local parts in order.
func (b *bundle) walk(path, who string) string {
	b.t.Helper()
	var names []string
	for range 20 {
		got := b.do("GET", path, who, "")
		var page struct {
			Data       []struct{ Email string }
			NextCursor *string
		}
		if err := json.Unmarshal([]byte(got.body), &page); err != nil || got.status != 200 {
			b.t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		for _, u := range page.Data {
			name, _, _ := strings.Cut(u.Email, "@")
			names = append(names, name)
		}
		if page.NextCursor == nil {
			return strings.Join(names, " ")
		}
		_, link, _ := strings.Cut(got.header.Get("Link"), "<")
		path, _, _ = strings.Cut(link, ">")
	}
	b.t.Fatal("the pages do not end")
	return ""
}
