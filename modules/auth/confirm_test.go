package auth

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

const someKey = `{"name":"ci","scopes":["orders:read"]}`

// outdates makes the password of a session older than it may be.
func (b *bundle) outdates(token string) {
	b.t.Helper()
	b.exec(`update sessions set created_at = created_at - interval '6 minutes', confirmed_at = confirmed_at - interval '6 minutes' where id = $1`, sidOf(b.t, token))
	b.sessions.memory.evict(b.accounts.id, sidOf(b.t, token))
}

func (b *bundle) confirms(token, password string) answered {
	b.t.Helper()
	return b.do("POST", "/v1/auth/confirm", token, object("password", password))
}

// SPEC A11 (ASVS 5.0 7.5.1): a session whose password was given more than five minutes ago cannot
// create or rotate keys or end other sessions. A refresh changes nothing, a confirmation does.
func TestRecentPassword_A11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, other := b.logsIn(), b.logsIn()
	key := b.do("POST", "/v1/api-keys", mine.access, someKey).member("id")
	b.outdates(mine.access)
	got := b.refreshes(mine.refresh)
	mine = pair{got.member("accessToken"), got.member("refreshToken")}
	rows := []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/api-keys", someKey, 201},
		{"POST", "/v1/api-keys/" + key + "/rotate", "", 200},
		{"DELETE", "/v1/auth/sessions/" + sidOf(t, other.access).String(), "", 204},
		{"DELETE", "/v1/auth/sessions", "", 204},
	}
	refused := func() {
		t.Helper()
		for _, r := range rows {
			got := b.do(r.method, r.path, mine.access, r.body)
			if got.status != 403 || got.member("code") != "password-confirmation-required" ||
				!strings.Contains(got.header.Get("WWW-Authenticate"), `error="insufficient_user_authentication", max_age="300"`) {
				t.Errorf("%s %s: %d %s", r.method, r.path, got.status, got.body)
			}
		}
	}

	refused()
	if got := b.confirms(mine.access, "not the one"); got.status != 422 || got.member("code") != "wrong-password" {
		t.Errorf("a wrong password: %d %s", got.status, got.body)
	}
	refused()
	if got := b.confirms(mine.access, goodPassword); got.status != 204 {
		t.Errorf("the password: %d %s", got.status, got.body)
	}
	for _, r := range rows {
		if got := b.do(r.method, r.path, mine.access, r.body); got.status != r.status {
			t.Errorf("%s %s: %d %s", r.method, r.path, got.status, got.body)
		}
	}
	if n := b.count(`select count(*) from audit_entries where action = 'session.confirmed' and subject_id = $1`, sidOf(t, mine.access).String()); n != 1 {
		t.Errorf("%d entries", n)
	}
	b.outdates(mine.access)
	refused()
}

// SPEC A11: the own session ends without a password.
func TestOwnSessionEndsWithoutPassword_A11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/v1/auth/sessions/", "/v1/auth/logout"} {
		mine := b.logsIn()
		b.outdates(mine.access)
		method := "POST"
		if strings.HasSuffix(path, "/") {
			method, path = "DELETE", path+sidOf(t, mine.access).String()
		}

		if got := b.do(method, path, mine.access, ""); got.status != 204 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
		if got := b.who(mine.access); got.status != 401 {
			t.Errorf("%s: the session lives: %d", path, got.status)
		}
	}
}

// SPEC A11: a session that was confirmed on one node is accepted by another one that remembers it as
// old, and one that was not confirmed by none.
func TestConfirmationOnAnotherNode_A11(t *testing.T) {
	t.Parallel()
	url, accounts := pgtest.URL(t), newAccounts()
	one, two := node(t, url, accounts), node(t, url, accounts)
	one.runs()
	two.runs()
	mine, another := one.logsIn(), one.logsIn()
	one.outdates(mine.access)
	one.outdates(another.access)
	for _, token := range []string{mine.access, another.access} {
		if got := two.do("POST", "/v1/api-keys", token, someKey); got.status != 403 {
			t.Fatalf("before: %d %s", got.status, got.body)
		}
	}

	if got := one.confirms(mine.access, goodPassword); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.body)
	}

	if got := two.do("POST", "/v1/api-keys", mine.access, someKey); got.status != 201 {
		t.Errorf("confirmed on the other node: %d %s", got.status, got.body)
	}
	for _, n := range []*bundle{one, two} {
		if got := n.do("POST", "/v1/api-keys", another.access, someKey); got.status != 403 {
			t.Errorf("not confirmed: %d %s", got.status, got.body)
		}
	}
}

// SPEC A11, A6: confirmations are limited like changes of the password, under the same count.
func TestConfirmationsAreLimited_A11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := b.logsIn()
	b.attempts.seen = nil
	b.confirms(mine.access, "not the one")
	b.attempts.fail = tooManyAttempts(1)

	got := b.confirms(mine.access, goodPassword)

	if got.status != 429 || got.member("code") != "too-many-attempts" || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	want := "user:" + b.accounts.id.String() + " "
	for _, seen := range b.attempts.seen {
		if !strings.HasPrefix(seen, want) {
			t.Errorf("counted as %q", seen)
		}
	}
	if b.attempts.ends[len(b.attempts.ends)-1] != wrong || len(b.attempts.seen) != 2 {
		t.Errorf("%v, %v", b.attempts.seen, b.attempts.ends)
	}
	if n := b.count(`select count(*) from audit_entries where action = 'user.password-rejected'`); n != 1 {
		t.Errorf("%d entries", n)
	}
}

// SPEC A11: a session that ends while it is confirmed stays ended, and its confirmation is a 401.
func TestConfirmWhileEnding_A11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		mine, other := b.logsIn(), b.logsIn()
		var confirmed, ended answered
		var both sync.WaitGroup
		both.Go(func() { confirmed = b.confirms(mine.access, goodPassword) })
		both.Go(func() { ended = b.do("DELETE", "/v1/auth/sessions", other.access, "") })
		both.Wait()

		if ended.status != 204 || confirmed.status != 204 && confirmed.status != 401 {
			t.Errorf("%d, %d %s", ended.status, confirmed.status, confirmed.body)
		}
		if got := b.confirms(mine.access, goodPassword); got.status != 401 {
			t.Errorf("an ended session was confirmed: %d %s", got.status, got.body)
		}
		if n := b.count(`select count(*) from sessions where id = $1 and ended_at is null`, sidOf(t, mine.access)); n != 0 {
			t.Error("the session lives")
		}
	}

	ended := b.logsIn()
	c := b.caller(ended.access)
	b.endsAccount() // after the caller was checked
	if err := b.confirm(b.ctx, c, goodPassword, "", netip.Addr{}); !fault.Is(err, "invalid-token") {
		t.Errorf("an ended session was confirmed: %v", err)
	}
	if n := b.count(`select count(*) from sessions where id = $1 and confirmed_at is not null`, c.SessionID); n != 0 {
		t.Error("the row says so")
	}
}

// SPEC A5, A11: all other sessions end at once on all nodes, with current=true also the own one.
func TestEndOtherSessions_A11(t *testing.T) {
	t.Parallel()
	url, accounts := pgtest.URL(t), newAccounts()
	one, two := node(t, url, accounts), node(t, url, accounts)
	one.runs()
	two.runs()
	mine, first, second := one.logsIn(), one.logsIn(), one.logsIn()
	key := one.do("POST", "/v1/api-keys", mine.access, someKey).member("secret")
	two.who(first.access)

	if got := one.do("DELETE", "/v1/auth/sessions?current=false", mine.access, ""); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.body)
	}

	for _, token := range []string{first.access, second.access} {
		if got := one.who(token); got.status != 401 {
			t.Errorf("another session: %d", got.status)
		}
		two.until(func() bool { return two.who(token).status == 401 })
	}
	for _, token := range []string{mine.access, key} {
		if got := two.who(token); got.status != 200 {
			t.Errorf("the own session, or a key: %d", got.status)
		}
	}
	if got := one.do("DELETE", "/v1/auth/sessions?current=true", mine.access, ""); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := one.who(mine.access); got.status != 401 {
		t.Errorf("the own session: %d", got.status)
	}
	if n := one.count(`select count(*) from sessions where ended_at is null`); n != 0 {
		t.Errorf("%d sessions live", n)
	}
	if n := one.count(`select count(*) from audit_entries where action = 'user.sessions-ended' and changes::text like '%ended-by-user%'`); n != 2 {
		t.Errorf("%d entries", n)
	}
}

// A caller has the time of the password, and keys have none.
func TestPasswordAt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := b.logsIn()
	if c := b.caller(mine.access); c.PasswordAt.IsZero() {
		t.Error("a session without the time of its password")
	}
	id := uuid.MustParse(b.do("POST", "/v1/api-keys", mine.access, someKey).member("id"))
	if c, err := b.CurrentCaller(b.ctx, id); err != nil || !c.PasswordAt.IsZero() {
		t.Errorf("a key with the time of a password: %+v, %v", c, err)
	}
}
