package auth

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// required are nodes that demand a second factor of administrators. They run, so that a change reaches
// the others as it does in a deployment.
func required(t *testing.T, n int) []*bundle {
	t.Helper()
	address, accounts := pgtest.URL(t), newAccounts()
	nodes := make([]*bundle, n)
	for i := range nodes {
		nodes[i] = node(t, address, accounts)
		nodes[i].totp.Mode = TOTPRequired
		nodes[i].runs()
	}
	return nodes
}

// promotes makes the account an administrator as package users does: the role changes in the
// transaction that announces it.
func (b *bundle) promotes(role identity.Role) {
	b.t.Helper()
	b.accounts.set(func(f *fakeAccounts) { f.role = role })
	b.exec(`insert into revocations (user_id) values ($1)`, b.accounts.id)
	b.sessions.Committed(b.ctx, b.accounts.id)
}

// SPEC A13: an administrator without a second factor can only set one up, with sessions and with API
// keys. That begins with the promotion, ends with the activation, and begins again with the removal,
// on all nodes within a second.
func TestAdministratorsNeedAFactor_A13(t *testing.T) {
	t.Parallel()
	nodes := required(t, 2)
	first, second := nodes[0], nodes[1]
	c := watches(nodes...)
	p := first.logsIn()
	key := first.do("POST", "/v1/api-keys", p.access, someKey).member("secret")
	stands := func(what string, b *bundle, want int) {
		t.Helper()
		began := time.Now()
		for _, credential := range []string{p.access, key} {
			b.until(func() bool { return b.who(credential).status == want })
			if got := b.who(credential); want == 403 && !got.is(403, "totp-enrolment-required") {
				t.Errorf("%s: %d %s", what, got.status, got.body)
			}
		}
		if took := time.Since(began); took > 3*time.Second { // a second, on a slow machine
			t.Errorf("%s took %s", what, took)
		}
	}

	for _, b := range nodes {
		stands("a user", b, 200)
	}
	first.promotes(identity.Admin)
	for _, b := range nodes {
		stands("the promotion", b, 403)
	}
	if _, err := second.CurrentCaller(second.ctx, sidOf(t, p.access)); !fault.Is(err, "invalid-token") {
		t.Errorf("a socket would stay open: %v", err)
	}
	if got := second.do("GET", "/v1/auth/totp", p.access, ""); got.status != 200 || !strings.Contains(got.body, `"required":true`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, r := range [][3]string{{"GET", "/v1/auth/sessions"}, {"GET", "/v1/auth/totp"}, {"POST", "/v1/auth/confirm", object("password", goodPassword)}} {
		if got := first.do(r[0], r[1], p.access, r[2]); got.status >= 300 {
			t.Errorf("%s %s: %d %s", r[0], r[1], got.status, got.body)
		}
	}
	for _, r := range [][3]string{
		{"GET", "/v1/api-keys"}, {"POST", "/v1/api-keys", someKey}, {"GET", "/v1/root"}, {"DELETE", "/v1/users/" + first.accounts.id.String() + "/totp"},
		{"POST", "/v1/auth/totp/recovery-codes", object("code", "123456")},
	} {
		if got := first.do(r[0], r[1], p.access, r[2]); !got.is(403, "totp-enrolment-required") {
			t.Errorf("%s %s: %d %s", r[0], r[1], got.status, got.body)
		}
	}
	if got := first.do("GET", "/v1/anyone", p.access, ""); got.status != 200 || strings.Contains(got.body, "admin") {
		t.Errorf("a public route sees %s", got.body)
	}

	d := first.enrols(p.access, c)
	for _, b := range nodes {
		stands("the activation", b, 200)
	}
	if got := second.do("DELETE", "/v1/auth/totp", p.access, object("code", d.next())); got.status != 204 {
		t.Fatalf("remove: %d %s", got.status, got.body)
	}
	for _, b := range nodes {
		stands("the removal", b, 403)
	}
	first.promotes(identity.User)
	for _, b := range nodes {
		stands("the demotion", b, 200)
	}
}

// SPEC A13: it is enough that the setting is changed, and another restriction comes first.
func TestSettingCoversExistingAdministrators_A13(t *testing.T) {
	t.Parallel()
	address, accounts := pgtest.URL(t), newAccounts()
	before := node(t, address, accounts)
	accounts.set(func(f *fakeAccounts) { f.role = identity.Admin })
	p := before.logsIn()
	if got := before.who(p.access); got.status != 200 {
		t.Errorf("optional: %d %s", got.status, got.body)
	}

	after := node(t, address, accounts)
	after.totp.Mode = TOTPRequired
	if got := after.who(p.access); !got.is(403, "totp-enrolment-required") {
		t.Errorf("required: %d %s", got.status, got.body)
	}
	accounts.set(func(f *fakeAccounts) { f.restriction = "something-else" })
	if got := after.who(p.access); !got.is(403, "something-else") {
		t.Errorf("with another restriction: %d %s", got.status, got.body)
	}
	accounts.set(func(f *fakeAccounts) { f.restriction, f.role = "", identity.User })
	if got := after.who(p.access); got.status != 200 {
		t.Errorf("a user: %d %s", got.status, got.body)
	}
}

// SPEC A13: whatever happens at the same time as the activation, no session that was opened without a
// code is left, except for the one that activated the factor: someone who knows the password alone
// cannot wait in a session until its owner has lifted the restriction.
func TestActivationEndsOtherSessions_A13(t *testing.T) {
	t.Parallel()
	address, accounts := pgtest.URL(t), newAccounts()
	nodes := []*bundle{node(t, address, accounts), node(t, address, accounts)}
	c := watches(nodes...)
	accounts.set(func(f *fakeAccounts) { f.role = identity.Admin })
	for range 15 {
		nodes[0].exec(`delete from totp_factors`)
		mine, other := nodes[0].logsIn(), nodes[1].logsIn()
		d := &authenticator{t: t, clock: c, secret: nodes[0].do("POST", "/v1/auth/totp", mine.access, "").member("secret")}

		var all sync.WaitGroup
		var activated answered
		all.Go(func() {
			activated = nodes[0].do("POST", "/v1/auth/totp/activate", mine.access, object("code", d.code(0)))
		})
		for i := range 6 {
			all.Go(func() {
				if got := nodes[i%2].triesCode(""); got.status != 200 && !got.is(401, "totp-required") {
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		all.Wait()

		if activated.status != 200 {
			t.Fatalf("activate: %d %s", activated.status, activated.body)
		}
		if n := nodes[0].count(`select count(*) from sessions where ended_at is null and id <> $1`, sidOf(t, mine.access)); n != 0 {
			t.Fatalf("%d sessions without a code are left", n)
		}
		if got := nodes[0].who(other.access).status; got != 401 {
			t.Fatalf("another session: %d", got)
		}
	}
}

// SPEC A13: an activation waits for a log-in that has checked that there is no factor and has not
// committed its session, and then ends this session.
func TestActivationWaitsForLogIns_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	p := b.logsIn()
	d := &authenticator{t: t, clock: c, secret: b.do("POST", "/v1/auth/totp", p.access, "").member("secret")}
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(b.ctx)
	if err := lockSessions(b.ctx, tx, b.accounts.id); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(b.ctx, `insert into sessions (id, user_id, created_at, last_used_at, expires_at) values (gen_random_uuid(), $1, now(), now(), now() + interval '1 hour')`, b.accounts.id); err != nil {
		t.Fatal(err)
	}

	var got answered
	b.waitsFor(tx, func() { got = b.do("POST", "/v1/auth/totp/activate", p.access, object("code", d.code(0))) })

	if got.status != 200 {
		t.Fatalf("activate: %d %s", got.status, got.body)
	}
	if n := b.count(`select count(*) from sessions where ended_at is null`); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
}

// SPEC A13: of several activations at the same time one succeeds, so only one set of recovery codes is
// given out.
func TestOneActivation_A13(t *testing.T) {
	t.Parallel()
	address, accounts := pgtest.URL(t), newAccounts()
	nodes := []*bundle{node(t, address, accounts), node(t, address, accounts)}
	c := watches(nodes...)
	p := nodes[0].logsIn()
	d := &authenticator{t: t, clock: c, secret: nodes[0].do("POST", "/v1/auth/totp", p.access, "").member("secret")}

	answers := make([]answered, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = nodes[i%2].do("POST", "/v1/auth/totp/activate", p.access, object("code", d.code(0)))
		})
	}
	all.Wait()

	var codes []string
	for _, got := range answers {
		switch {
		case got.status == 200 && codes == nil:
			codes = got.recoveryCodes()
		case !got.is(409, "totp-not-started"):
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	for _, code := range codes {
		if got := nodes[0].triesCode(code); got.status != 200 {
			t.Errorf("a recovery code: %d %s", got.status, got.body)
		}
	}
}
