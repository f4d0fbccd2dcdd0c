package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC A2.
func TestLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)

	got := b.do("POST", "/v1/auth/login", "", object("email", email, "password", goodPassword))
	var body map[string]any
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	if len(body) != 4 || body["tokenType"] != "Bearer" || body["expiresIn"] != 900.0 || len(body["refreshToken"].(string)) != 43 {
		t.Errorf("got %s", got.body)
	}
	if n := b.count("select count(*) from refresh_tokens where position($1::bytea in hash) > 0", []byte(body["refreshToken"].(string))); n != 0 {
		t.Error("the refresh token is stored in clear")
	}

	for name, wrong := range map[string]string{
		"password": object("email", email, "password", "no"), "account": object("email", "x@example.com", "password", goodPassword),
	} {
		if got := b.do("POST", "/v1/auth/login", "", wrong); got.status != 401 || got.member("code") != "invalid-credentials" {
			t.Errorf("wrong %s: %d %s", name, got.status, got.body)
		}
	}
	if n := b.count("select count(*) from sessions"); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// SPEC A6: every attempt is counted before the password is looked at, under a name
// that is the same for all spellings and says nothing.
func TestLoginIsCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("POST", "/v1/auth/login", "", object("email", "Ada@Example.com", "password", "no"))
	b.logsIn()
	if len(b.attempts.seen) != 2 || b.attempts.seen[0] != b.attempts.seen[1] || strings.Contains(b.attempts.seen[0], "ada") {
		t.Errorf("counted %q", b.attempts.seen)
	}
	if !slices.Equal(b.attempts.ends, []outcome{wrong, right}) {
		t.Errorf("what came of them: %v", b.attempts.ends)
	}

	b.logsIn()
	b.do("POST", "/v1/auth/login", "", object("email", "x@example.com", "password", "no"))
	if known := b.attempts.known; !slices.Equal(known, []bool{false, false, true, false}) {
		t.Errorf("where it was logged in: %v", known)
	}
	b.attempts.late = fault.New(fault.KindRateLimited, "rate-limited", "no")
	if got := b.do("POST", "/v1/auth/login", "", object("email", email, "password", "no")); got.status != 429 {
		t.Errorf("a wrong one too many: got %d", got.status)
	}
	b.logsIn()

	b.attempts.fail = fault.New(fault.KindRateLimited, "rate-limited", "no")
	if got := b.do("POST", "/v1/auth/login", "", object("email", email, "password", goodPassword)); got.status != 429 {
		t.Errorf("got %d", got.status)
	}
}

// SPEC A6: the counter learns that an attempt was not decided, even when its request
// is out of time.
func TestUnjudgedLoginIsNoGuess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, busy := range []error{fault.Unavailable("The database", nil), context.DeadlineExceeded} {
		b.accounts.set(func(f *fakeAccounts) { f.busy = busy })
		if got := b.do("POST", "/v1/auth/login", "", object("email", email, "password", goodPassword)); got.status != 503 {
			t.Errorf("got %d", got.status)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var pg guess
	pg.owner = func(context.Context) (uuid.UUID, error) { return uuid.Nil, nil }
	if err := b.limitAttempts(ctx, pg, func(ctx context.Context) error { return ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(b.attempts.ends, []outcome{undecided, undecided, undecided}) {
		t.Errorf("what came of them: %v", b.attempts.ends)
	}
}

// The password changed between the proof and the session: no session (SPEC A5).
func TestLoginAfterThePasswordChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, confirm, err := b.accounts.Verify(b.ctx, email, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	b.Module.accounts = proven{b.accounts, id, confirm}
	b.accounts.set(func(f *fakeAccounts) { f.password = "new" })

	if got := b.do("POST", "/v1/auth/login", "", object("email", email, "password", goodPassword)); got.status != 401 {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if n := b.count("select count(*) from sessions"); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// SPEC A4: each token once, the session lives on, the role is today's.
func TestRefresh(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.logsIn()
	b.exec("update sessions set expires_at = now() + interval '1 hour', last_used_at = now() - interval '1 hour'")
	b.accounts.set(func(f *fakeAccounts) { f.role = identity.Admin })

	got := b.refreshes(first.refresh)

	if got.status != 200 || got.member("refreshToken") == first.refresh {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	before, after := payloadOf(t, first.access), payloadOf(t, got.member("accessToken"))
	if after["sid"] != before["sid"] || after["sub"] != before["sub"] || after["role"] != "admin" {
		t.Errorf("it says %v", after)
	}
	if n := b.count(`select count(*) from sessions where expires_at > now() + interval '29 days' and last_used_at > now() - interval '1 minute'`); n != 1 {
		t.Error("the session was not prolonged")
	}
	if again := b.refreshes(got.member("refreshToken")); again.status != 200 {
		t.Errorf("the next one: %d", again.status)
	}
}

func TestRefreshRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	strange, _ := newSecret()
	for name, token := range map[string]string{
		"empty": "", "short": "x", "unknown": strange, "access token": p.access, "cut": p.refresh[:42], "longer": p.refresh + "A",
		"respelled": p.refresh[:42] + respelled(p.refresh[42]), "not base64": strings.Repeat("!", 43), "line break": "\n" + p.refresh[1:],
	} {
		if got := b.refreshes(token); got.status != 401 || got.member("code") != "invalid-refresh-token" {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}

	b.exec("update refresh_tokens set expires_at = now() - interval '1 second'")
	if got := b.refreshes(p.refresh); got.status != 401 {
		t.Errorf("expired: got %d", got.status)
	}
	if got := b.who(p.access); got.status != 200 {
		t.Errorf("an expired token is no theft: %d", got.status)
	}

	q := b.logsIn()
	b.accounts.set(func(f *fakeAccounts) { f.active = false })
	if got := b.refreshes(q.refresh); got.status != 401 || got.member("code") != "invalid-refresh-token" {
		t.Errorf("inactive: got %d %s", got.status, got.body)
	}
}

// SPEC A5.
func TestLogout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.runs()
	one, two := b.logsIn(), b.logsIn()
	b.who(one.access)

	if got := b.do("POST", "/v1/auth/logout", one.access, ""); got.status != 204 || got.body != "" {
		t.Fatalf("got %d %s", got.status, got.body)
	}

	if a, r := b.who(one.access).status, b.refreshes(one.refresh).status; a != 401 || r != 401 {
		t.Errorf("access %d, refresh %d", a, r)
	}
	if got := b.who(two.access); got.status != 200 {
		t.Errorf("the other session: %d", got.status)
	}
	if len(b.woken) != 1 {
		t.Errorf("the others were woken %d times", len(b.woken))
	}
}

// SPEC A5: the list of sessions, and ending one; a session of another user looks absent.
func TestSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := strings.Repeat("é", 150)
	one := b.logsIn("User-Agent", agent+"\xff")
	two := b.logsIn("User-Agent", "curl/8")
	ended := b.logsIn()
	b.do("POST", "/v1/auth/logout", ended.access, "")
	b.exec("update sessions set expires_at = now() - interval '1 second' where id = $1", sidOf(t, b.logsIn().access))
	foreign := uuid.Must(uuid.NewV7())
	b.exec(`insert into sessions (id, user_id, created_at, last_used_at, expires_at)
		values ($1, $2, now(), now(), now() + interval '1 hour')`, foreign, uuid.New())

	got := b.do("GET", "/v1/auth/sessions", one.access, "")
	var page struct {
		Data       []Session
		NextCursor *string
	}
	if err := json.Unmarshal([]byte(got.body), &page); err != nil || got.status != 200 || len(page.Data) != 2 || page.NextCursor != nil {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	newest, oldest := page.Data[0], page.Data[1]
	if newest.ID != sidOf(t, two.access) || newest.Current || newest.UserAgent != "curl/8" || newest.Address == "" {
		t.Errorf("newest is %+v", newest)
	}
	if oldest.ID != sidOf(t, one.access) || !oldest.Current || oldest.UserAgent != strings.Repeat("é", 100) {
		t.Errorf("oldest is %+v", oldest)
	}
	first := b.do("GET", "/v1/auth/sessions?limit=1", one.access, "")
	_, link, _ := strings.Cut(first.header.Get("Link"), "<")
	link, _, _ = strings.Cut(link, ">")
	if rest := b.do("GET", link, one.access, ""); !strings.Contains(rest.body, oldest.ID.String()) || strings.Contains(rest.body, newest.ID.String()) {
		t.Errorf("second page: %s", rest.body)
	}

	for _, row := range []struct {
		id     string
		status int
	}{
		{foreign.String(), 404}, {uuid.NewString(), 404}, {sidOf(t, ended.access).String(), 404}, {"x", 400},
		{newest.ID.String(), 204}, {newest.ID.String(), 404},
	} {
		if got := b.do("DELETE", "/v1/auth/sessions/"+row.id, one.access, ""); got.status != row.status {
			t.Errorf("%s: got %d %s", row.id, got.status, got.body)
		}
	}
	if got := b.who(two.access); got.status != 401 {
		t.Errorf("ended: %d", got.status)
	}
	if n := b.count("select count(*) from sessions where id = $1 and ended_at is null", foreign); n != 1 {
		t.Error("the session of another user was ended")
	}
}

// SPEC A5: a new password ends every session but the one it opens.
func TestChangePassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.runs()
	one, two := b.logsIn(), b.logsIn()
	b.who(two.access)

	wrong := b.do("POST", "/v1/auth/password", one.access, object("currentPassword", "no", "newPassword", "another canary"))
	if wrong.status != 422 || wrong.member("code") != "wrong-password" || b.who(two.access).status != 200 {
		t.Fatalf("got %d %s", wrong.status, wrong.body)
	}
	if last := b.attempts.seen[len(b.attempts.seen)-1]; !strings.HasPrefix(last, "user:"+b.accounts.id.String()) {
		t.Errorf("counted %s", last)
	}

	got := b.do("POST", "/v1/auth/password", one.access, object("currentPassword", goodPassword, "newPassword", "another canary"))
	if got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	for name, status := range map[string]int{
		"one": b.who(one.access).status, "two": b.who(two.access).status, "refresh": b.refreshes(two.refresh).status,
	} {
		if status != 401 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if fresh := b.who(got.member("accessToken")); fresh.status != 200 {
		t.Errorf("the new session: %d", fresh.status)
	}
	if again := b.refreshes(got.member("refreshToken")); again.status != 200 {
		t.Errorf("the new session's refresh: %d", again.status)
	}

	b.attempts.fail = fault.New(fault.KindRateLimited, "rate-limited", "no")
	limited := b.do("POST", "/v1/auth/password", got.member("accessToken"), object("currentPassword", "x", "newPassword", "y"))
	if limited.status != 429 {
		t.Errorf("got %d", limited.status)
	}
}

// SPEC E2: a ticket is good once, for 30 s, and only while its session is.
func TestTickets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	caller := b.caller(p.access)
	issue := func() string {
		before := time.Now()
		ticket, expires, err := b.IssueTicket(b.ctx, caller)
		if err != nil {
			t.Fatal(err)
		}
		if longest := expires.Sub(before); longest < 29*time.Second || time.Until(expires) > 31*time.Second {
			t.Errorf("good for %s at most", longest)
		}
		return ticket
	}

	ticket := issue()
	wins := make(chan identity.Caller, 20)
	var all sync.WaitGroup
	for range cap(wins) {
		all.Go(func() {
			if c, err := b.RedeemTicket(b.ctx, ticket); err == nil {
				wins <- c
			} else if !fault.Is(err, "invalid-ticket") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(wins) != 1 || <-wins != caller {
		t.Errorf("redeemed %d times", len(wins)+1)
	}

	strange, _ := newSecret()
	expired, ended := issue(), issue()
	hash, _ := hashOf(expired)
	b.exec("update tickets set expires_at = now() - interval '1 millisecond' where hash = $1", hash)
	for name, ticket := range map[string]string{"unknown": strange, "empty": "", "access token": p.access, "expired": expired} {
		if _, err := b.RedeemTicket(b.ctx, ticket); !fault.Is(err, "invalid-ticket") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.do("POST", "/v1/auth/logout", p.access, "")
	if _, err := b.RedeemTicket(b.ctx, ended); !fault.Is(err, "invalid-ticket") {
		t.Errorf("of an ended session: %v", err)
	}
}

func TestTidyAgent(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                             "",
		"curl/8":                       "curl/8",
		"a\x00b\nc\x7f\xff":            "abc",
		strings.Repeat("x", 201):       strings.Repeat("x", 200),
		"x" + strings.Repeat("é", 100): "x" + strings.Repeat("é", 99),
		"xx" + strings.Repeat("🦦", 50): "xx" + strings.Repeat("🦦", 49),
	} {
		if got := tidyAgent(in); got != want || len(got) > maxUserAgent || !utf8.ValidString(got) {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

func TestAddressIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.logIn(b.ctx, email, goodPassword, "", client{address: netip.MustParseAddr("2001:db8::1")}); err != nil {
		t.Fatal(err)
	}
	if n := b.count("select count(*) from sessions where address = '2001:db8::1'"); n != 1 {
		t.Error(fmt.Sprint(n, " rows"))
	}
}

// SPEC A2: a log-in from a network in which the account is logged in, and what a caller who is logged in
// proves, come before the log-ins of others.
func TestFamiliarNetworks_A2(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var opened pair
	logIn := func(at, password string, want bool) {
		t.Helper()
		got, err := b.logIn(b.ctx, email, password, "", client{address: netip.MustParseAddr(at)})
		if (err == nil) != (password == goodPassword) || b.accounts.familiar.Load() != want {
			t.Errorf("from %s: familiar %t, %v", at, b.accounts.familiar.Load(), err)
		}
		if err == nil {
			opened = got
		}
	}

	logIn("192.0.2.1", "a wrong one", false)
	logIn("192.0.2.1", goodPassword, false)
	logIn("192.0.2.1", "a wrong one", true)
	logIn("192.0.2.2", "a wrong one", false)
	c := b.caller(opened.access)
	if err := b.confirm(b.ctx, c, "a wrong one", "", netip.MustParseAddr("192.0.2.2")); !fault.Is(err, "wrong-password") || !b.accounts.familiar.Load() {
		t.Errorf("a confirmation: %v", err)
	}
	if _, err := b.replacePassword(b.ctx, c, passwordChange{current: "a wrong one", next: "x"}, client{}); err == nil || !b.accounts.familiar.Load() {
		t.Errorf("a change: %v", err)
	}
	b.exec("update sessions set ended_at = now(), expires_at = now()")
	logIn("192.0.2.1", "a wrong one", false)
}

// SPEC A6: at home is where a session of the owner's was opened that still lives.
func TestHome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, at := range []string{"192.0.2.1", "2001:db8::1", ""} {
		addr, _ := netip.ParseAddr(at)
		if _, err := b.logIn(b.ctx, email, goodPassword, "", client{address: addr}); err != nil {
			t.Fatal(err)
		}
	}
	mine := func(context.Context) (uuid.UUID, error) { return b.accounts.id, nil }
	unknown := func(context.Context) (uuid.UUID, error) { return uuid.Nil, nil }
	check := func(at string, owner func(context.Context) (uuid.UUID, error), want bool) {
		t.Helper()
		addr, _ := netip.ParseAddr(at)
		if got, err := b.knownNetwork(b.ctx, guess{from: addr, owner: owner}); got != want || err != nil {
			t.Errorf("%q: %v, %v", at, got, err)
		}
	}

	check("192.0.2.1", mine, true)
	check("2001:db8::ffff", mine, true) // the same network
	check("2001:db8:0:1::1", mine, false)
	check("192.0.2.2", mine, false)
	check("", mine, false)
	check("192.0.2.1", unknown, false)
	b.exec("update sessions set ended_at = now(), expires_at = now()")
	check("192.0.2.1", mine, false)
}
