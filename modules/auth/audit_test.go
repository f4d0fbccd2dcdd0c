package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// trail returns the entries, oldest first.
func (b *bundle) trail() (list []string) {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, `select format('%s %s %s %s x%s', action, outcome, case when user_id is null then 'nobody' else 'user' end, changes, count)
		from audit_entries order by id`)
	if err != nil {
		b.t.Fatal(err)
	}
	if list, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		b.t.Fatal(err)
	}
	return list
}

// SPEC F11, A6: log-ins that are right, wrong and refused; an account that exists by its id.
func TestLoginsAreAudited_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	login := func(email, password string) int {
		return b.do("POST", "/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)).status
	}
	p := b.logsIn()
	statuses := []int{login(email, "wrong canary"), login("nobody@example.com", "wrong canary")}
	b.attempts.late = tooManyAttempts(time.Second) // the one attempt of an unknown network
	statuses = append(statuses, login(email, "wrong canary"))
	b.attempts.late, b.attempts.fail = nil, tooManyAttempts(time.Second)
	statuses = append(statuses, login(email, goodPassword), login("nobody@example.com", "wrong canary"),
		b.do("POST", "/v1/auth/password", p.access, `{"currentPassword":"x","newPassword":"another canary"}`).status)
	b.attempts.fail = nil
	b.do("POST", "/v1/auth/logout", p.access, "")

	if err := b.Module.attempts.Flush(b.ctx); err != nil {
		t.Fatal(err)
	}

	if fmt.Sprint(statuses) != "[401 401 429 429 429 429]" {
		t.Fatal(statuses)
	}
	want := []string{
		"session.created success user [] x1",
		"login.failed failure user [] x1",
		"login.failed failure nobody [] x1",
		"login.failed failure user [] x1",
		`session.ended success user [{"field":"reason","after":"logout"}] x1`,
	}
	got := b.trail()
	if len(got) != 7 || strings.Join(got[:5], "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s", strings.Join(got, "\n"))
	}
	rest := strings.Join(got[5:], "\n")
	if !strings.Contains(rest, "login.limited refused nobody [] x2") || !strings.Contains(rest, "user.password-limited refused nobody [] x1") {
		t.Errorf("got\n%s", rest)
	}
}

// SPEC F11: a log-in whose entry cannot be written opens no session, and a wrong one is not answered
// as if it had been recorded.
func TestNoLoginWithoutAnEntry_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.caller(b.logsIn().access)
	b.exec(`alter table audit_entries add constraint no_entries check (action = 'none') not valid`)

	right := b.do("POST", "/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, email, goodPassword)).status
	wrong := b.do("POST", "/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":"wrong canary"}`, email)).status
	_, _, key := b.createKey(b.ctx, c, "scanner", identity.ScopesOf(identity.OrdersRead), nil)
	logout := b.end(b.ctx, c.UserID, c.SessionID, "logout")

	if right != 500 || wrong != 500 {
		t.Errorf("right %d, wrong %d", right, wrong)
	}
	for what, err := range map[string]error{"a key": key, "the end of a session": logout} {
		if !postgres.Violates(err, "no_entries") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := b.count(`select count(*) from sessions where ended_at is null`); n != 1 {
		t.Errorf("%d sessions", n)
	}
	if n := b.count(`select count(*) from api_keys`); n != 0 {
		t.Errorf("%d keys", n)
	}
}
