package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// clock is the time of the second factors of all nodes of a test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// pass moves the clock by a number of time steps.
func (c *clock) pass(steps int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Duration(steps) * stepSeconds * time.Second)
}

// watches gives nodes one clock.
func watches(nodes ...*bundle) *clock {
	c := &clock{at: time.Now()}
	for _, b := range nodes {
		b.totp.now = c.now
	}
	return c
}

// authenticator is an authenticator app.
type authenticator struct {
	t      *testing.T
	clock  *clock
	secret string
	codes  []string // recovery codes
}

// code returns the code of a time step, counted from the present one.
func (d *authenticator) code(offset int) string {
	d.t.Helper()
	code, err := totp.GenerateCode(d.secret, d.clock.now().Add(time.Duration(offset)*stepSeconds*time.Second))
	if err != nil {
		d.t.Fatal(err)
	}
	return code
}

// next returns the code of a step that was not used yet.
func (d *authenticator) next() string {
	d.clock.pass(1)
	return d.code(0)
}

// wrong returns a code that is valid at no step that is accepted now.
func (d *authenticator) wrong() string {
	d.t.Helper()
	for i := range 10 {
		code := fmt.Sprintf("%06d", i)
		if code != d.code(-1) && code != d.code(0) && code != d.code(1) {
			return code
		}
	}
	d.t.Fatal("no wrong code")
	return ""
}

func (a answered) recoveryCodes() []string {
	var body struct{ RecoveryCodes []string }
	_ = json.Unmarshal([]byte(a.body), &body)
	return body.RecoveryCodes
}

// enrols sets up a second factor and activates it with the code of the present step.
func (b *bundle) enrols(token string, c *clock) *authenticator {
	b.t.Helper()
	got := b.do("POST", "/v1/auth/totp", token, "")
	d := &authenticator{t: b.t, clock: c, secret: got.member("secret")}
	if got.status != 200 || d.secret == "" {
		b.t.Fatalf("enrol: %d %s", got.status, got.body)
	}
	got = b.do("POST", "/v1/auth/totp/activate", token, object("code", d.code(0)))
	if d.codes = got.recoveryCodes(); got.status != 200 || len(d.codes) != 10 {
		b.t.Fatalf("activate: %d %s", got.status, got.body)
	}
	return d
}

func (b *bundle) triesCode(code string) answered {
	b.t.Helper()
	pairs := []string{"email", email, "password", goodPassword}
	if code != "" {
		pairs = append(pairs, "code", code)
	}
	return b.do("POST", "/v1/auth/login", "", object(pairs...))
}

func (a answered) is(status int, code string) bool {
	return a.status == status && a.member("code") == code
}

// SPEC A13: RFC 6238, appendix B, of which six digits are the last ones; one time step of drift, and no
// step at or before the last accepted one.
func TestCodesOfRFC6238_A13(t *testing.T) {
	t.Parallel()
	secret := []byte("12345678901234567890")
	for at, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		for drift, want := range map[int64]bool{-60: false, -30: true, 0: true, 30: true, 60: false} {
			if at == 59 && drift < -30 {
				continue // before 1970
			}
			if step, ok := matchStep(secret, code, time.Unix(at+drift, 0), 0); ok != want || ok && step != at/30 {
				t.Errorf("%s at %d%+d: step %d, %v", code, at, drift, step, ok)
			}
		}
		if _, ok := matchStep(secret, code, time.Unix(at, 0), at/30); ok {
			t.Errorf("%s at %d is accepted twice", code, at)
		}
		if _, ok := matchStep(secret, code, time.Unix(at, 0), at/30-1); !ok {
			t.Errorf("%s at %d is not accepted after the code before it", code, at)
		}
	}
}

// SPEC A13: a second factor protects the account from its first code on. Then a log-in needs a code,
// which is accepted once, as is a recovery code. (ASVS 5.0 6.3.3, 6.5.1)
func TestLogInNeedsACode_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	p := b.logsIn()
	if got := b.do("GET", "/v1/auth/totp", p.access, ""); got.body != `{"state":"none","activatedAt":null,"recoveryCodesLeft":0,"required":false}` {
		t.Errorf("before: %s", got.body)
	}
	abandoned := b.do("POST", "/v1/auth/totp", p.access, "").member("secret")
	if got := b.do("GET", "/v1/auth/totp", p.access, ""); got.member("state") != "pending" {
		t.Errorf("pending: %s", got.body)
	}
	b.logsIn() // without a code

	started := b.do("POST", "/v1/auth/totp", p.access, "")
	u, err := url.Parse(started.member("otpauthUrl"))
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/orderflow:"+email || u.Query().Get("secret") != started.member("secret") || len(started.member("secret")) != 32 {
		t.Errorf("%s", started.body)
	}
	d := &authenticator{t: t, clock: c, secret: abandoned}
	if got := b.do("POST", "/v1/auth/totp/activate", p.access, object("code", d.code(0))); !got.is(422, "invalid-code") || !strings.Contains(got.body, `"pointer":"/code"`) {
		t.Errorf("a code of a replaced secret: %d %s", got.status, got.body)
	}
	d.secret = started.member("secret")
	activated := b.do("POST", "/v1/auth/totp/activate", p.access, object("code", " "+d.code(0)[:3]+" "+d.code(0)[3:]))
	if d.codes = activated.recoveryCodes(); activated.status != 200 || len(d.codes) != 10 || len(d.codes[0]) != 19 {
		t.Fatalf("activate: %d %s", activated.status, activated.body)
	}

	used := d.code(0) // by the activation
	fresh := d.next()
	for _, row := range []struct {
		what, code string
		status     int
		want       string
	}{
		{"no code", "", 401, "totp-required"},
		{"spaces", "  - ", 401, "totp-required"},
		{"the code of the activation", used, 401, "invalid-code"},
		{"a wrong code", d.wrong(), 401, "invalid-code"},
		{"seven digits", fresh + "0", 401, "invalid-code"},
		{"other digits", "١٢٣٤٥٦", 401, "invalid-code"},
		{"a code", fresh, 200, ""},
		{"the same code", fresh, 401, "invalid-code"},
		{"the next code, early", d.code(1), 200, ""},
		{"the code before it", d.code(0), 401, "invalid-code"},
		{"a recovery code", d.codes[3], 200, ""},
		{"the same recovery code", d.codes[3], 401, "invalid-code"},
		{"a recovery code in another form", strings.ToUpper(strings.ReplaceAll(d.codes[4], "-", " ")), 200, ""},
		{"a made-up recovery code", "aaaa-bbbb-cccc-dddd", 401, "invalid-code"},
	} {
		if got := b.triesCode(row.code); !got.is(row.status, row.want) {
			t.Errorf("%s: %d %s", row.what, got.status, got.body)
		}
	}
	c.pass(1) // the next code was used early
	if got := b.do("POST", "/v1/auth/login", "", object("email", email, "password", "wrong canary", "code", d.next())); !got.is(401, "invalid-credentials") {
		t.Errorf("a wrong password with a code: %d %s", got.status, got.body)
	}
	if got := b.triesCode(d.code(0)); got.status != 200 {
		t.Errorf("a code that came with a wrong password was used up: %d %s", got.status, got.body)
	}
	got := b.do("GET", "/v1/auth/totp", p.access, "")
	if !strings.Contains(got.body, `"state":"active"`) || !strings.Contains(got.body, `"recoveryCodesLeft":8`) {
		t.Errorf("after: %s", got.body)
	}
	if n := b.count(`select count(*) from audit_entries where action = 'totp.recovery-code-used'`); n != 2 {
		t.Errorf("%d recovery codes in the audit trail", n)
	}
	if got := b.do("POST", "/v1/auth/totp", p.access, ""); !got.is(409, "totp-active") {
		t.Errorf("another factor: %d %s", got.status, got.body)
	}
}

// SPEC A13: an enrolment lasts 15 minutes, and there must be one.
func TestEnrolmentExpires_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	p := b.logsIn()
	if got := b.do("POST", "/v1/auth/totp/activate", p.access, object("code", "123456")); !got.is(409, "totp-not-started") {
		t.Errorf("without a secret: %d %s", got.status, got.body)
	}
	d := &authenticator{t: t, clock: c, secret: b.do("POST", "/v1/auth/totp", p.access, "").member("secret")}
	b.exec(`update totp_factors set created_at = now() - interval '16 minutes'`)

	if got := b.do("POST", "/v1/auth/totp/activate", p.access, object("code", d.code(0))); !got.is(409, "totp-not-started") {
		t.Errorf("too late: %d %s", got.status, got.body)
	}
	if got := b.do("GET", "/v1/auth/totp", p.access, ""); got.member("state") != "none" {
		t.Errorf("%s", got.body)
	}
}

// SPEC A13: whatever codes arrive at whichever of two nodes at the same time, each opens one session
// at most, and no code is accepted that is older than one that was accepted before.
func TestCodesAreUsedOnce_A13(t *testing.T) {
	t.Parallel()
	address, accounts := pgtest.URL(t), newAccounts()
	nodes := []*bundle{node(t, address, accounts), node(t, address, accounts)}
	c := watches(nodes...)
	d := nodes[0].enrols(nodes[0].logsIn().access, c)

	rapid.Check(t, func(rt *rapid.T) {
		for c.pass(3); d.code(-1) == d.code(0) || d.code(-1) == d.code(1) || d.code(0) == d.code(1); {
			c.pass(3) // until all of the codes are new, and each is that of one step
		}
		choices := []string{d.code(-1), d.code(0), d.code(1), d.codes[0], d.codes[1], d.wrong()}
		picks := rapid.SliceOfN(rapid.SampledFrom(choices), 2, 8).Draw(rt, "codes")
		before := nodes[0].count(`select count(*) from sessions`)
		unused := map[string]int{}
		for _, code := range d.codes[:2] {
			unused[code] = nodes[0].count(`select count(*) from recovery_codes where hash = $1 and used_at is null`, hashOfCode(tidyCode(code)))
		}

		results := make([]answered, len(picks))
		var all sync.WaitGroup
		for i, code := range picks {
			all.Go(func() { results[i] = nodes[i%2].triesCode(code) })
		}
		all.Wait()

		accepted, sum := map[string]int{}, 0
		for i, code := range picks {
			switch {
			case results[i].status == 200:
				accepted[code]++
				sum++
			case !results[i].is(401, "invalid-code"):
				rt.Fatalf("%s: %d %s", code, results[i].status, results[i].body)
			}
		}
		for code, n := range accepted {
			if left, recovery := unused[code]; n > 1 || recovery && n > left || code == d.wrong() {
				rt.Fatalf("%d sessions for one code", n)
			}
		}
		if n := nodes[0].count(`select count(*) from sessions`); n != before+sum {
			rt.Fatalf("%d sessions for %d accepted codes", n-before, sum)
		}
		for _, code := range d.codes[:2] { // a recovery code always works once
			tried := false
			for _, pick := range picks {
				tried = tried || pick == code
			}
			if tried && accepted[code] != unused[code] {
				rt.Fatalf("a recovery code that was used %d times before was accepted %d times", 1-unused[code], accepted[code])
			}
		}
		if got := nodes[1].triesCode(d.code(-1)); len(accepted) > 0 && accepted[d.code(1)]+accepted[d.code(0)] > 0 && got.status == 200 {
			rt.Fatalf("the code %s was accepted after %v, of the codes %v; the last step is now %d, the current one %d", d.code(-1), accepted,
				choices[:3], nodes[0].count(`select last_step from totp_factors`), c.now().Unix()/stepSeconds)
		}
	})
}

// SPEC A13: a recovery code that is sent many times at once, to two nodes, opens one session.
func TestRecoveryCodesAreUsedOnce_A13(t *testing.T) {
	t.Parallel()
	address, accounts := pgtest.URL(t), newAccounts()
	nodes := []*bundle{node(t, address, accounts), node(t, address, accounts)}
	d := nodes[0].enrols(nodes[0].logsIn().access, watches(nodes...))
	for _, code := range d.codes[:5] {
		results := make([]answered, 8)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { results[i] = nodes[i%2].triesCode(code) })
		}
		all.Wait()
		accepted := 0
		for _, got := range results {
			if got.status == 200 {
				accepted++
			} else if !got.is(401, "invalid-code") {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
		if accepted != 1 {
			t.Errorf("a recovery code opened %d sessions", accepted)
		}
	}
}

// SPEC A6, A13: a wrong code counts like a wrong password, everywhere; a missing one and a right one do
// not. Each wrong one is in the audit trail.
func TestWrongCodesAreCounted_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	p := b.logsIn()
	d := b.enrols(p.access, c)
	b.attempts.set(func(f *fakeAttempts) { f.ends, f.seen = nil, nil })
	inSession := object("code", d.wrong())

	for _, row := range []struct {
		what string
		do   func() answered
		want outcome
	}{
		{"no code", func() answered { return b.triesCode("") }, right},
		{"a wrong code", func() answered { return b.triesCode(d.wrong()) }, wrong},
		{"a wrong recovery code", func() answered { return b.triesCode("aaaa-bbbb-cccc-dddd") }, wrong},
		{"a code", func() answered { return b.triesCode(d.next()) }, right},
		{"a used code", func() answered { return b.triesCode(d.code(0)) }, wrong},
		{"a change of password", func() answered {
			return b.do("POST", "/v1/auth/password", p.access, object("currentPassword", goodPassword, "newPassword", "another canary", "code", d.wrong()))
		}, wrong},
		{"a confirmation", func() answered {
			return b.do("POST", "/v1/auth/confirm", p.access, object("password", goodPassword, "code", d.wrong()))
		}, wrong},
		{"recovery codes", func() answered { return b.do("POST", "/v1/auth/totp/recovery-codes", p.access, inSession) }, wrong},
		{"the removal", func() answered { return b.do("DELETE", "/v1/auth/totp", p.access, inSession) }, wrong},
		{"an activation", func() answered {
			b.exec(`update totp_factors set activated_at = null`)
			return b.do("POST", "/v1/auth/totp/activate", p.access, inSession)
		}, wrong},
	} {
		before := len(b.attempts.ends)
		got := row.do()
		if ends := b.attempts.ends[before:]; len(ends) != 1 || ends[0] != row.want {
			t.Errorf("%s: %v, %d %s", row.what, ends, got.status, got.body)
		}
		if row.want == wrong && got.member("code") != "invalid-code" {
			t.Errorf("%s: %d %s", row.what, got.status, got.body)
		}
	}
	for action, want := range map[string]int{"login.code-rejected": 3, "totp.code-rejected": 5, "login.failed": 0, "user.password-rejected": 0} {
		if n := b.count(`select count(*) from audit_entries where action = $1 and outcome = 'failure' and user_id = $2`, action, b.accounts.id); n != want {
			t.Errorf("%d entries of %s, want %d", n, action, want)
		}
	}
	b.attempts.set(func(f *fakeAttempts) { f.late = tooManyAttempts(time.Minute) })
	b.exec(`update totp_factors set activated_at = now()`)
	if got := b.triesCode(d.wrong()); !got.is(429, "too-many-attempts") {
		t.Errorf("without attempts left: %d %s", got.status, got.body)
	}
}

func (f *fakeAttempts) set(change func(*fakeAttempts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// SPEC A13 (NIST SP 800-63B-4 3.2.2): of the codes that are guessed at the same time on two nodes,
// exactly 100 in a row are compared. Then only a recovery code is accepted, after which there are 100
// more; a right code has the same effect.
func TestHundredWrongCodesLockTheFactor_A13(t *testing.T) {
	t.Parallel()
	address, accounts := pgtest.URL(t), newAccounts()
	nodes := []*bundle{node(t, address, accounts), node(t, address, accounts)}
	c := watches(nodes...)
	d := nodes[0].enrols(nodes[0].logsIn().access, c)
	nodes[0].exec(`update totp_factors set failures = 93`)

	guesses := make([]answered, 20)
	var all sync.WaitGroup
	for i := range guesses {
		all.Go(func() { guesses[i] = nodes[i%2].triesCode(d.wrong()) })
	}
	all.Wait()
	compared := 0
	for _, got := range guesses {
		if got.is(401, "invalid-code") {
			compared++
		} else if !got.is(401, "totp-locked") {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if compared != 7 {
		t.Errorf("%d codes were compared, want 7", compared)
	}

	if got := nodes[1].triesCode(d.next()); !got.is(401, "totp-locked") {
		t.Errorf("a right code: %d %s", got.status, got.body)
	}
	if got := nodes[1].triesCode(d.codes[0]); got.status != 200 {
		t.Errorf("a recovery code: %d %s", got.status, got.body)
	}
	if got := nodes[1].triesCode(d.next()); got.status != 200 {
		t.Errorf("a right code after it: %d %s", got.status, got.body)
	}
	if n := nodes[0].count(`select failures from totp_factors`); n != 0 {
		t.Errorf("%d failures are left", n)
	}
}

// SPEC A13: the second factor is asked for wherever the password is: by a change of the password, which
// opens a session, and by its confirmation. (ASVS 5.0 7.5.1)
func TestCodeBesidesThePassword_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	p := b.logsIn()
	d := b.enrols(p.access, c)

	confirm := func(code string) answered {
		return b.do("POST", "/v1/auth/confirm", p.access, object("password", goodPassword, "code", code))
	}
	b.outdates(p.access)
	if got := confirm(""); !got.is(422, "totp-required") {
		t.Errorf("without a code: %d %s", got.status, got.body)
	}
	if got := b.do("POST", "/v1/api-keys", p.access, someKey); got.status != 403 {
		t.Errorf("unconfirmed: %d %s", got.status, got.body)
	}
	if got := confirm(d.next()); got.status != 204 {
		t.Errorf("with a code: %d %s", got.status, got.body)
	}
	if got := b.do("POST", "/v1/api-keys", p.access, someKey); got.status != 201 {
		t.Errorf("confirmed: %d %s", got.status, got.body)
	}

	change := func(code string) answered {
		return b.do("POST", "/v1/auth/password", p.access, object("currentPassword", goodPassword, "newPassword", "another canary", "code", code))
	}
	if got := change(""); !got.is(422, "totp-required") {
		t.Errorf("without a code: %d %s", got.status, got.body)
	}
	if got := change(d.code(0)); !got.is(422, "invalid-code") {
		t.Errorf("with a used code: %d %s", got.status, got.body)
	}
	if b.accounts.password != goodPassword || b.who(p.access).status != 200 {
		t.Error("the password changed")
	}
	if got := change(d.codes[0]); got.status != 200 || b.accounts.password != "another canary" {
		t.Errorf("with a recovery code: %d %s", got.status, got.body)
	}
}

// SPEC A13: the owner removes the factor and replaces the recovery codes with a code of either kind.
func TestOwnersManageTheirFactor_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	p := b.logsIn()
	for _, r := range [][2]string{{"DELETE", "/v1/auth/totp"}, {"POST", "/v1/auth/totp/recovery-codes"}} {
		if got := b.do(r[0], r[1], p.access, object("code", "123456")); !got.is(409, "totp-not-active") {
			t.Errorf("%s %s without a factor: %d %s", r[0], r[1], got.status, got.body)
		}
	}
	d := b.enrols(p.access, c)
	got := b.do("POST", "/v1/auth/totp/recovery-codes", p.access, object("code", d.next()))
	renewed := got.recoveryCodes()
	if got.status != 200 || len(renewed) != 10 || b.count(`select count(*) from recovery_codes`) != 10 {
		t.Fatalf("new codes: %d %s", got.status, got.body)
	}
	if got := b.triesCode(d.codes[0]); !got.is(401, "invalid-code") {
		t.Errorf("a replaced code: %d %s", got.status, got.body)
	}
	b.outdates(p.access)
	if got := b.do("DELETE", "/v1/auth/totp", p.access, object("code", renewed[0])); !got.is(403, "password-confirmation-required") {
		t.Errorf("without a recent password: %d %s", got.status, got.body)
	}
	if got := b.do("POST", "/v1/auth/confirm", p.access, object("password", goodPassword, "code", renewed[1])); got.status != 204 {
		t.Fatalf("confirm: %d %s", got.status, got.body)
	}
	if got := b.do("DELETE", "/v1/auth/totp", p.access, object("code", renewed[0])); got.status != 204 {
		t.Errorf("remove: %d %s", got.status, got.body)
	}
	b.logsIn() // without a code
	if n := b.count(`select (select count(*) from totp_factors) + (select count(*) from recovery_codes)`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	b.outdates(p.access)
	if got := b.do("POST", "/v1/auth/totp", p.access, ""); !got.is(403, "password-confirmation-required") {
		t.Errorf("an enrolment without a recent password: %d %s", got.status, got.body)
	}
}

// SPEC A13: an administrator resets the factor of another account, whose sessions end. The own one
// needs a code.
func TestAdministratorsResetFactors_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	other := uuid.Must(uuid.NewV7())
	b.accounts.set(func(f *fakeAccounts) { f.role, f.others = identity.Admin, []uuid.UUID{other} })
	p := b.logsIn()
	b.enrols(p.access, c)
	if got := b.do("DELETE", "/v1/users/"+b.accounts.id.String()+"/totp", p.access, ""); !got.is(409, "own-account") {
		t.Errorf("the own factor: %d %s", got.status, got.body)
	}
	if got := b.do("DELETE", "/v1/users/"+uuid.NewString()+"/totp", p.access, ""); !got.is(404, "not-found") {
		t.Errorf("nobody's: %d %s", got.status, got.body)
	}
	path := "/v1/users/" + other.String() + "/totp"
	if got := b.do("DELETE", path, p.access, ""); !got.is(409, "totp-not-active") {
		t.Errorf("no factor: %d %s", got.status, got.body)
	}
	b.exec(`insert into totp_factors (user_id, id, secret, key_id, created_at, activated_at) values ($1, $1, '', 'now', now(), now())`, other)
	b.exec(`insert into recovery_codes (user_id, hash, created_at) values ($1, 'x', now())`, other)
	b.exec(`insert into sessions (id, user_id, created_at, last_used_at, expires_at) values ($1, $1, now(), now(), now() + interval '1 hour')`, other)

	if got := b.do("DELETE", path, p.access, ""); got.status != 204 {
		t.Fatalf("reset: %d %s", got.status, got.body)
	}
	if n := b.count(`select (select count(*) from totp_factors where user_id = $1) + (select count(*) from recovery_codes where user_id = $1)
		+ (select count(*) from sessions where user_id = $1 and ended_at is null)`, other); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if n := b.count(`select count(*) from audit_entries where action = 'totp.reset' and user_id = $1 and actor_id = $2`, other, b.accounts.id); n != 1 {
		t.Errorf("%d entries", n)
	}
	if n := b.count(`select count(*) from totp_factors where user_id = $1`, b.accounts.id); n != 1 {
		t.Error("the administrator's own factor is gone")
	}
	b.outdates(p.access)
	if got := b.do("DELETE", path, p.access, ""); !got.is(403, "password-confirmation-required") {
		t.Errorf("without a recent password: %d %s", got.status, got.body)
	}
}

// SPEC A13: with ADMIN_TOTP=off no route works, and no code is asked for; a factor that an account has
// is kept, and asked for again later.
func TestFactorsCanBeTurnedOff_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	b.accounts.set(func(f *fakeAccounts) { f.role = identity.Admin })
	p := b.logsIn()
	b.enrols(p.access, c)
	b.totp.Mode = TOTPOff

	for _, r := range [][3]string{
		{"GET", "/v1/auth/totp"}, {"POST", "/v1/auth/totp"}, {"POST", "/v1/auth/totp/activate", object("code", "123456")}, {"DELETE", "/v1/auth/totp", object("code", "123456")},
		{"POST", "/v1/auth/totp/recovery-codes", object("code", "123456")}, {"DELETE", "/v1/users/" + uuid.NewString() + "/totp"},
	} {
		if got := b.do(r[0], r[1], p.access, r[2]); !got.is(409, "totp-off") {
			t.Errorf("%s %s: %d %s", r[0], r[1], got.status, got.body)
		}
	}
	if got := b.triesCode(""); got.status != 200 {
		t.Errorf("off: %d %s", got.status, got.body)
	}
	if got := b.confirms(p.access, goodPassword); got.status != 204 {
		t.Errorf("off: %d %s", got.status, got.body)
	}
	if err := b.warnOfFactors(b.ctx); err != nil || !strings.Contains(b.log.String(), "ADMIN_TOTP=off") {
		t.Errorf("no warning: %v %s", err, b.log)
	}
	b.totp.Mode = TOTPOptional
	if got := b.triesCode(""); !got.is(401, "totp-required") {
		t.Errorf("on again: %d %s", got.status, got.body)
	}
	b.totp.Keys = Keys{}
	b.exec(`delete from totp_factors`)
	if got := b.do("POST", "/v1/auth/totp", p.access, ""); !got.is(409, "totp-not-configured") {
		t.Errorf("without keys: %d %s", got.status, got.body)
	}
}

// SPEC A13: the database contains neither the secret nor a recovery code, and a secret that is copied to
// the row of another account is useless there.
func TestSecretsAtRest_A13(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := watches(b)
	d := b.enrols(b.logsIn().access, c)
	raw, err := base32NoPadding.DecodeString(d.secret)
	if err != nil {
		t.Fatal(err)
	}
	var stored string
	if err := b.pool.QueryRow(b.ctx, `select (select string_agg(f::text, '') from totp_factors f) || (select string_agg(r::text, '') from recovery_codes r)
		|| (select string_agg(a::text, '') from audit_entries a)`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{hex.EncodeToString(raw), d.secret, d.codes[0], strings.ReplaceAll(d.codes[0], "-", "")} {
		if strings.Contains(stored, form) {
			t.Errorf("%s is in the database", form)
		}
	}

	sealed, id, err := b.totp.Keys.sealSecret(b.accounts.id, raw)
	if err != nil || id != "now" {
		t.Fatal(id, err)
	}
	if got, err := b.totp.Keys.openSecret(b.accounts.id, sealed, id); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%x %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another account": func() ([]byte, error) { return b.totp.Keys.openSecret(uuid.New(), sealed, id) },
		"another key":     func() ([]byte, error) { return b.totp.Keys.openSecret(b.accounts.id, sealed, "before") },
		"no such key":     func() ([]byte, error) { return b.totp.Keys.openSecret(b.accounts.id, sealed, "later") },
		"a changed byte": func() ([]byte, error) {
			return b.totp.Keys.openSecret(b.accounts.id, append([]byte{sealed[0] ^ 1}, sealed[1:]...), id)
		},
		"nothing": func() ([]byte, error) { return b.totp.Keys.openSecret(b.accounts.id, nil, id) },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s: %x", name, got)
		}
	}
}

// SPEC A13: TOTP_KEYS are rotated without any owner noticing: all keys decrypt, the first one encrypts,
// and a use encrypts anew. Without the key a code is a 503 that counts as no attempt, and recovery
// codes still work.
func TestKeysOfFactorsAreRotated_A13(t *testing.T) {
	t.Parallel()
	address, accounts := pgtest.URL(t), newAccounts()
	keys := func(text string) Keys {
		k, err := ParseKeys(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	const older, newer = "a=0123456789abcdef0123456789abcdef", "b=fedcba9876543210fedcba9876543210"
	first, second := node(t, address, accounts), node(t, address, accounts)
	c := watches(first, second)
	first.totp.Keys, second.totp.Keys = keys(older), keys(older+","+newer)
	d := first.enrols(first.logsIn().access, c)
	logsIn := func(b *bundle, what string) {
		t.Helper()
		if got := b.triesCode(d.next()); got.status != 200 {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	keyed := func(id string) {
		t.Helper()
		if n := first.count(`select count(*) from totp_factors where key_id = $1`, id); n != 1 {
			t.Errorf("the secret is not encrypted with %s", id)
		}
	}

	logsIn(second, "the new key at the end")
	keyed("a")
	first.totp.Keys = keys(older + "," + newer)
	second.totp.Keys = keys(newer + "," + older)
	logsIn(second, "the new key in front")
	keyed("b")
	logsIn(first, "at a node on which it is still at the end")
	keyed("a")
	logsIn(second, "and back")
	first.totp.Keys = keys(newer)
	logsIn(first, "without the old key")
	keyed("b")

	first.totp.Keys = keys(older)
	before := len(first.attempts.ends)
	if got := first.triesCode(d.next()); !got.is(503, "totp-key-missing") || got.header.Get("Retry-After") == "" {
		t.Errorf("without the key: %d %s", got.status, got.body)
	}
	if ends := first.attempts.ends[before:]; len(ends) != 1 || ends[0] != undecided || first.count(`select failures from totp_factors`) != 0 {
		t.Errorf("it was counted: %v", ends)
	}
	if err := first.warnOfFactors(first.ctx); err != nil || !strings.Contains(first.log.String(), "keys that TOTP_KEYS lacks") {
		t.Errorf("no warning: %v", err)
	}
	if got := first.triesCode(d.codes[0]); got.status != 200 {
		t.Errorf("a recovery code: %d %s", got.status, got.body)
	}
}
