package users

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/internal/smtptest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/mail"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

var aToken = regexp.MustCompile(`(?m)[\w-]{43}$`)

// mailing is a bundle that sends its messages through a real mail server.
type mailing struct {
	*bundle
	server *smtptest.Server
}

// setupMail requires verified addresses. At the end of the test, no job, log line or other table contains
// an address or a token.
func setupMail(t *testing.T, change ...func(*Deps)) *mailing {
	t.Helper()
	return mailingOver(t, smtptest.Start(t, smtptest.Options{}), change...)
}

func mailingOver(t *testing.T, server *smtptest.Server, change ...func(*Deps)) *mailing {
	t.Helper()
	mailer, err := mail.NewSMTP(mail.SMTP{URL: "smtp://" + server.Addr, From: "Orderflow <no-reply@shop.example>", Plaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	b := setup(t, append([]func(*Deps){func(d *Deps) {
		d.Mailer, d.VerifyEmail = mailer, true
		if d.Queue, err = queue.NewInserter(d.Pool, quiet); err != nil {
			t.Fatal(err)
		}
	}}, change...)...)
	m := &mailing{b, server}

	workers := river.NewWorkers()
	b.Workers(workers)
	worker, err := queue.NewWorker(b.pool, queue.Options{Workers: workers, MaxWorkers: 1, Queues: map[string]int{Queue: 4}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := queue.Run(ctx, worker, testwait.Limit); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		m.leavesNoTrace()
	})
	return m
}

// leavesNoTrace searches what is stored and logged.
func (m *mailing) leavesNoTrace() {
	m.t.Helper()
	seen := m.log.String()
	for _, table := range []string{"river_job", "account_tokens", "account_devices", "audit_entries", "idempotency_keys"} {
		var text *string
		if err := m.pool.QueryRow(m.ctx, "select string_agg(x::text, ' ') from "+table+" x").Scan(&text); err != nil {
			m.t.Fatal(err)
		}
		if text != nil {
			seen += *text
		}
	}
	if strings.Contains(seen, "@example.com") {
		m.t.Error("an address is stored or logged")
	}
	for _, one := range m.server.Messages() {
		if token := aToken.FindString(one.Text); token != "" && strings.Contains(seen, token) {
			m.t.Error("a token is stored or logged")
		}
	}
}

// token waits for the n-th message to an address and returns its token.
func (m *mailing) token(to string, n int) string {
	m.t.Helper()
	token := aToken.FindString(m.server.Wait(m.t, to, n).Text)
	if token == "" {
		m.t.Fatalf("message %d to %s has no token", n, to)
	}
	return token
}

func (m *mailing) register(email string, more ...string) answered {
	m.t.Helper()
	return m.do("POST", "/v1/auth/register", "", body(append([]string{"email", email, "password", goodPassword}, more...)...))
}

func (m *mailing) confirm(token string) answered {
	m.t.Helper()
	return m.do("POST", "/v1/auth/verification/confirm", "", body("token", token))
}

func (m *mailing) resets(token, password string) answered {
	m.t.Helper()
	return m.do("POST", "/v1/auth/password-reset/confirm", "", body("token", token, "newPassword", password))
}

// verified is an account that has verified its address without a message.
func (m *mailing) verified(email string, role identity.Role) *ent.User {
	m.t.Helper()
	return m.account(email, role)
}

func (m *mailing) exec(sql string, args ...any) {
	m.t.Helper()
	if _, err := m.pool.Exec(m.ctx, sql, args...); err != nil {
		m.t.Fatal(err)
	}
}

// idle waits until no message is due.
func (m *mailing) idle() {
	m.t.Helper()
	testwait.Until(m.t, "all messages to be sent", func() bool {
		return m.count(`select count(*) from river_job where state in ('available', 'running', 'retryable', 'scheduled', 'pending')`) == 0
	})
}

// limited gives a bundle the limits of production.
func limited(t *testing.T) func(*Deps) {
	t.Helper()
	client, err := redis.Open(pgtest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	limiter := redis.NewLimiter(client)
	t.Cleanup(limiter.Close)
	return func(d *Deps) {
		d.Limiter, d.ResetLimit = limiter, redis.Limit{Count: 20, Period: time.Hour}
	}
}

// SPEC A9: an address is verified once, with the code of the last message, for a day.
func TestVerification_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	made := m.register("ann@example.com")
	id := uuid.MustParse(made.member("id"))
	if made.status != 201 || !strings.Contains(made.body, `"emailVerified":false`) {
		t.Fatalf("%d %s", made.status, made.body)
	}
	if a, err := m.Account(m.ctx, id); err != nil || a.Restriction != identity.EmailNotVerified {
		t.Errorf("%+v %v", a, err)
	}
	first := m.token("ann@example.com", 1)
	if again := m.do("POST", "/v1/auth/verification", "user:"+id.String(), ""); again.status != 202 || again.body != "" {
		t.Errorf("%d %s", again.status, again.body)
	}
	second := m.token("ann@example.com", 2)

	for what, token := range map[string]string{"replaced": first, "made up": strings.Repeat("A", 43), "short": "x", "changed": second[:42] + "!", "padded": second + "="} {
		if a := m.confirm(token); a.status != 422 || a.member("code") != "invalid-verification-token" || a.codes() != "/token invalid-verification-token" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	m.exec(`update account_tokens set expires_at = now()`)
	if a := m.confirm(second); a.status != 422 {
		t.Errorf("expired: %d", a.status)
	}
	m.exec(`update account_tokens set expires_at = created_at + interval '24 hours'`)
	if a := m.resets(second, "another canary"); a.status != 422 {
		t.Errorf("it resets a password: %d", a.status)
	}
	m.sessions.taken()
	if a := m.confirm(second); a.status != 204 || m.sessions.taken() != "announce, committed" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := m.confirm(second); a.status != 422 {
		t.Errorf("used twice: %d", a.status)
	}
	if a, err := m.Account(m.ctx, id); err != nil || a.Restriction != identity.Unrestricted {
		t.Errorf("%+v %v", a, err)
	}
	if a := m.do("POST", "/v1/auth/verification", "user:"+id.String(), ""); a.status != 409 || a.member("code") != "email-already-verified" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := m.trail(id.String()); got != "user.registered [{\"field\":\"role\",\"after\":\"user\"}]\nemail.verified []" {
		t.Errorf("the trail is %s", got)
	}
}

// SPEC A9, G1: accounts that a node of the previous version registers meanwhile are not restricted, and not
// replaced.
func TestPreviousVersionRegisters_A9_G1(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	id := uuid.New()
	m.exec(`insert into users (id, email, email_key, password_hash, created_at, updated_at) values ($1, 'old@example.com', 'old@example.com', 'x', now(), now())`, id)
	if a, err := m.Account(m.ctx, id); err != nil || a != (identity.Account{Role: identity.User, Active: true}) {
		t.Errorf("%+v %v", a, err)
	}
	if a := m.register("old@example.com"); a.status != 409 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// SPEC A9: a message leads to the page of the installation, with the token in the fragment.
func TestLinks_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t, func(d *Deps) { d.MailLinkURL = "https://shop.example/account" })
	m.register("ann@example.com")
	text := m.server.Wait(t, "ann@example.com", 1).Text
	link := regexp.MustCompile(`(?m)^https://shop\.example/account#verification=([\w-]{43})$`).FindStringSubmatch(text)
	if len(link) != 2 || m.confirm(link[1]).status != 204 {
		t.Errorf("the message is\n%s", text)
	}
}

// SPEC A9, ASVS 5.0 6.1.1: an account that did not verify its address does not keep the owner from it. It
// is replaced in one commit, by registration and by the commands of the operator.
func TestUnverifiedAccountsAreReplaced_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	first := m.register("Ann@example.com").member("id")
	token := m.token("Ann@example.com", 1)
	m.sessions.taken()

	second := m.register("ann@example.com")

	if second.status != 201 || second.member("id") == first || m.sessions.taken() != "end account-replaced, revoke account-replaced, webhooks of , delete factor, committed" {
		t.Errorf("%d %s", second.status, second.body)
	}
	if a := m.confirm(token); a.status != 422 {
		t.Errorf("the code of the first account is valid: %d", a.status)
	}
	if got := m.trail(first); !strings.HasSuffix(got, "\nuser.replaced []") {
		t.Errorf("the trail is %s", got)
	}
	if err := m.EnsureAdmin(m.ctx, "ann@example.com", goodPassword, false); err != nil {
		t.Error(err)
	}
	m.register("bob@example.com")
	if isNew, err := m.CreateAdmin(m.ctx, NewAdmin{Email: "bob@example.com", Password: goodPassword}); !isNew || err != nil {
		t.Error(isNew, err)
	}
	if a := m.register("bob@example.com"); a.status != 409 || a.member("code") != "email-taken" {
		t.Errorf("a verified account is replaced: %d %s", a.status, a.body)
	}
	for what, state := range map[string]string{"promoted": "role = 'admin'", "deactivated": "active = false"} {
		m.register(what + "@example.com")
		m.exec(`update users set ` + state + ` where email = '` + what + `@example.com'`)
		if a := m.register(what + "@example.com"); a.status != 409 {
			t.Errorf("an account that was %s is replaced: %d", what, a.status)
		}
	}

	m.sessions.fail = errors.New("no")
	m.register("cora@example.com")
	if a := m.register("cora@example.com"); a.status != 500 || m.count(`select count(*) from users where email = 'cora@example.com' and deleted_at is null`) != 1 {
		t.Errorf("half of it is committed: %d", a.status)
	}
	m.sessions.fail = nil
	m.idle()
}

// SPEC A9: of concurrent registrations of one address, one account is left, and the others are refused
// like those of an address that is taken.
func TestReplacementRaces_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	first := m.register("ann@example.com").member("id")
	held, err := m.pool.Begin(m.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback(m.ctx)
	if _, err := held.Exec(m.ctx, `select from users where id = $1 for update`, first); err != nil {
		t.Fatal(err)
	}
	answers := make([]string, 3)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			a := m.register("ann@example.com")
			answers[i] = fmt.Sprint(a.status, a.member("code"))
		})
	}
	testwait.Until(t, "all to replace the same account", func() bool {
		return m.count(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%update users set deleted_at%'`) == len(answers)
	})
	if err := held.Rollback(m.ctx); err != nil {
		t.Fatal(err)
	}
	all.Wait()

	slices.Sort(answers)
	if fmt.Sprint(answers) != "[201 409email-taken 409email-taken]" {
		t.Errorf("%v", answers)
	}
	if n := m.count(`select count(*) from users where email = 'ann@example.com' and deleted_at is null and id <> $1`, first); n != 1 {
		t.Errorf("%d accounts", n)
	}
	m.idle()
}

// SPEC A9, ASVS 5.0 6.4.3: a forgotten password is reset with a code that is valid once and for half an
// hour. All sessions end, and the address is verified.
func TestPasswordReset_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	id := m.register("ann@example.com").member("id")
	m.server.Wait(t, "ann@example.com", 1)
	if a := m.do("POST", "/v1/auth/password-reset", "", body("email", "ANN@example.com")); a.status != 202 || a.body != "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	token := m.token("ann@example.com", 2)

	if a := m.resets("nonsense", "short"); a.status != 422 || a.codes() != "/token invalid-reset-token, /newPassword too-short" {
		t.Errorf("not every fault is named: %s", a.body)
	}
	if a := m.resets(token, "ann@example.com"); a.status != 422 || a.codes() != "/newPassword too-common" {
		t.Errorf("%d %s", a.status, a.body)
	}
	m.exec(`update users set active = false where id = $1`, id)
	if a := m.resets(token, "another canary"); a.status != 422 || a.member("code") != "invalid-reset-token" {
		t.Errorf("of an inactive account: %d %s", a.status, a.body)
	}
	m.exec(`update users set active = true where id = $1`, id)
	m.exec(`update account_tokens set expires_at = created_at`)
	if a := m.resets(token, "another canary"); a.status != 422 {
		t.Errorf("expired: %d", a.status)
	}
	m.exec(`update account_tokens set expires_at = created_at + interval '30 minutes'`)
	m.sessions.taken()

	statuses := make([]int, 6)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() { statuses[i] = m.resets(token, "another canary").status })
	}
	all.Wait()

	slices.Sort(statuses)
	if fmt.Sprint(statuses) != "[204 422 422 422 422 422]" {
		t.Errorf("used concurrently: %v", statuses)
	}
	if calls := m.sessions.taken(); strings.Count(calls, "end password-reset") != 1 {
		t.Error(calls)
	}
	if _, _, err := m.Verify(m.ctx, "ann@example.com", goodPassword); err == nil {
		t.Error("the old password is valid")
	}
	if _, _, err := m.Verify(m.ctx, "ann@example.com", "another canary"); err != nil {
		t.Error(err)
	}
	if u, err := m.live(m.ctx, uuid.MustParse(id)); err != nil || u.EmailVerifiedAt == nil {
		t.Errorf("not verified: %v", err)
	}
	if got := m.trail(id); !strings.HasSuffix(got, "password.reset-requested []\nemail.verified []\npassword.reset []") {
		t.Errorf("the trail is %s", got)
	}
	if notice := m.server.Wait(t, "ann@example.com", 3); notice.Header.Get("Subject") != "Your password was reset" || aToken.MatchString(notice.Text) {
		t.Errorf("%+v", notice)
	}
}

// SPEC A9, A12: a reset replaces an initial password, so that the account is no longer restricted.
func TestResetReplacesInitialPassword_A9_A12(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	if _, err := m.CreateAdmin(m.ctx, NewAdmin{Email: "root@example.com", Password: goodPassword, MustChange: true}); err != nil {
		t.Fatal(err)
	}
	id, err := m.Find(m.ctx, "root@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := m.Account(m.ctx, id); err != nil || a.Restriction != identity.PasswordChangeRequired {
		t.Fatalf("%+v %v", a, err)
	}
	m.do("POST", "/v1/auth/password-reset", "", body("email", "root@example.com"))
	if a := m.resets(m.token("root@example.com", 1), "another canary"); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a, err := m.Account(m.ctx, id); err != nil || a.Restriction != identity.Unrestricted {
		t.Errorf("%+v %v", a, err)
	}
	m.idle()
}

// SPEC A9: a code is no longer valid once the password was changed in another way, and the account of a
// deleted person leaves none.
func TestPasswordChangeEndsResets_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	ann, root := m.verified("ann@example.com", identity.User), m.verified("root@example.com", identity.Admin)
	m.do("POST", "/v1/auth/password-reset", "", body("email", ann.Email))
	token := m.token(ann.Email, 1)
	if err := m.change(ann.ID, goodPassword, "another canary"); err != nil {
		t.Fatal(err)
	}
	if a := m.resets(token, "a third canary"); a.status != 422 {
		t.Errorf("%d %s", a.status, a.body)
	}
	m.do("POST", "/v1/auth/password-reset", "", body("email", ann.Email))
	m.token(ann.Email, 2)
	if a := m.do("DELETE", "/v1/users/"+ann.ID.String(), as(root), ""); a.status != 204 {
		t.Fatal(a.body)
	}
	if n := m.count(`select count(*) from account_tokens`); n != 0 {
		t.Errorf("%d tokens", n)
	}
}

// SPEC A9, ASVS 5.0 6.3.8: a request to reset a password does the same for a known address, an unknown
// one, and one of an account that is not active: one look-up and one job with the same arguments.
func TestResetsRevealNothing_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	m.verified("known@example.com", identity.User)
	m.verified("off@example.com", identity.User)
	m.exec(`update users set active = false where email = 'off@example.com'`)
	var first string
	for _, email := range []string{"known@example.com", "unknown@example.com", "off@example.com"} {
		a := m.do("POST", "/v1/auth/password-reset", "", body("email", email), "X-Request-Id", "r-1")
		for _, name := range []string{"Date", "X-Request-Id"} { // each response has its own
			a.header.Del(name)
		}
		if got := fmt.Sprint(a.status, a.header, a.body); first == "" {
			first = got
		} else if got != first {
			t.Errorf("%s: %s, not %s", email, got, first)
		}
	}
	m.idle()
	if n := m.count(`select count(distinct (args - 'id' - 'at' - 'requestId', max_attempts, queue, kind)) from river_job`); n != 1 {
		t.Errorf("%d kinds of jobs", n)
	}
	if n := m.count(`select count(*) from river_job where args ->> 'id' <> ''`); n != 3 {
		t.Errorf("%d jobs", n)
	}
	if got := m.server.Messages(); len(got) != 1 || got[0].To != "known@example.com" {
		t.Errorf("%+v", got)
	}
	if a := m.do("POST", "/v1/auth/password-reset", "", body("email", "nobody")); a.status != 422 || a.codes() != "/email invalid" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// ASVS 5.0 6.4.6: an administrator starts a reset and learns nothing; an Idempotency-Key starts it once.
func TestAdministratorsStartResets_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	ann, root := m.verified("ann@example.com", identity.User), m.verified("root@example.com", identity.Admin)
	path := "/v1/users/" + ann.ID.String() + "/password-reset"
	first := m.do("POST", path, as(root), "", "Idempotency-Key", "k1")
	again := m.do("POST", path, as(root), "", "Idempotency-Key", "k1")
	if first.status != 202 || first.body != again.body || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	text := m.server.Wait(t, ann.Email, 1).Text
	if !strings.Contains(text, "An administrator started") {
		t.Error(text)
	}
	m.idle()
	if n := len(m.server.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
	if a := m.resets(aToken.FindString(text), "another canary"); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	m.exec(`update users set active = false where id = $1`, ann.ID)
	if a := m.do("POST", path, as(root), ""); a.status != 409 || a.member("code") != "account-inactive" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// SPEC A9: nobody can have many messages sent to one address, or many addresses tried from one network.
func TestMessagesAreLimited_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t, limited(t))
	m.verified("ann@example.com", identity.User)
	root := m.verified("root@example.com", identity.Admin)
	for range 8 {
		for _, email := range []string{"ann@example.com", "Ann@Example.com"} {
			if a := m.do("POST", "/v1/auth/password-reset", "", body("email", email)); a.status != 202 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
	}
	for range 5 {
		m.do("POST", "/v1/auth/password-reset", "", body("email", "unknown@example.com"))
	}
	if a := m.do("POST", "/v1/auth/password-reset", "", body("email", "other@example.com")); a.status != 429 || a.member("code") != "too-many-messages" || a.header.Get("Retry-After") == "" {
		t.Errorf("from one network: %d %s", a.status, a.body)
	}

	var id string
	for i := range 6 {
		a := m.register("bob@example.com")
		if want := map[bool]int{true: 201, false: 429}[i < 3]; a.status != want {
			t.Errorf("registration %d: %d %s", i, a.status, a.body)
		}
		if i < 3 {
			id = a.member("id")
		}
	}
	if a := m.do("POST", "/v1/auth/verification", "user:"+id, ""); a.status != 429 {
		t.Errorf("another message: %d %s", a.status, a.body)
	}
	for i := range 6 {
		a := m.do("POST", "/v1/users/"+root.ID.String()+"/password-reset", as(root), "")
		if want := map[bool]int{true: 202, false: 429}[i < 3]; a.status != want {
			t.Errorf("reset %d by an administrator: %d %s", i, a.status, a.body)
		}
	}
	m.idle()
	count := map[string]int{}
	for _, one := range m.server.Messages() {
		count[one.To]++
	}
	if count["ann@example.com"] != 3 || count["root@example.com"] != 3 || count["bob@example.com"] > 3 || count["bob@example.com"] == 0 {
		t.Errorf("messages: %v", count)
	}
}

// SPEC A9, D4: while the mail server is away everything else works, and the messages arrive afterwards.
func TestMailServerIsAway_A9(t *testing.T) {
	t.Parallel()
	away := smtptest.Start(t, smtptest.Options{})
	m := mailingOver(t, away)
	away.Close()
	if a := m.register("ann@example.com"); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	testwait.Until(t, "an attempt to fail", func() bool {
		return m.count(`select count(*) from river_job where cardinality(errors) > 0`) == 1
	})
	m.server = smtptest.Start(t, smtptest.Options{Addr: away.Addr})
	m.server.Refuse(func() func(string, string) error {
		refused := false
		return func(command, to string) error {
			if refused || command != "RCPT" {
				return nil
			}
			refused = true
			return smtptest.Reply(451, [3]int{4, 7, 1}, "<"+to+"> is greylisted")
		}
	}())

	if a := m.confirm(m.token("ann@example.com", 1)); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// SPEC A9, D4: a refused message is not sent again. Errors that are stored and logged name no address.
func TestRefusedMessages_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	m.server.Refuse(func(command, to string) error {
		if command == "RCPT" {
			return smtptest.Reply(550, [3]int{5, 1, 1}, "<"+to+"> is unknown")
		}
		return nil
	})
	m.register("ann@example.com")
	m.idle()
	if n := m.count(`select count(*) from river_job where state = 'cancelled' and attempt = 1 and errors::text like '%550 5.1.1%'`); n != 1 {
		t.Error("the job is not cancelled")
	}
	if !strings.Contains(m.log.String(), "a message was refused") {
		t.Error("no line in the log")
	}
}

// mailerFunc is a mailer of another program.
type mailerFunc func(mail.Message) error

func (f mailerFunc) Send(_ context.Context, m mail.Message) error { return f(m) }

// SPEC A9: the last failed attempt is logged, and the errors of any mailer lose the address.
func TestLastAttempt_A9(t *testing.T) {
	t.Parallel()
	permanent := false
	m := setup(t, func(d *Deps) {
		d.Mailer = mailerFunc(func(m mail.Message) error {
			err := fmt.Errorf("could not reach %s", strings.ToUpper(m.To))
			if permanent {
				return queue.Permanent(err)
			}
			return err
		})
	})
	ann := m.account("ann@example.com", identity.User)
	work := func(attempt int) error {
		return (&mailWorker{m: m.Module}).Work(m.ctx, &river.Job[MailArgs]{
			JobRow: &rivertype.JobRow{Attempt: attempt, MaxAttempts: mailAttempts}, Args: MailArgs{Message: noticePassword, ID: ann.ID, At: time.Now()},
		})
	}
	if err := work(1); err == nil || strings.Contains(strings.ToLower(err.Error()), "ann@") || strings.Contains(m.log.String(), "not tried again") {
		t.Errorf("%v, %s", err, m.log.String())
	}
	if err := work(mailAttempts); err == nil || !strings.Contains(m.log.String(), "not tried again") {
		t.Errorf("%v, %s", err, m.log.String())
	}
	permanent = true
	if err := work(1); !errors.Is(err, river.JobCancel(nil)) || strings.Contains(strings.ToLower(err.Error()), "ann@") {
		t.Errorf("%v", err)
	}
	if strings.Contains(strings.ToLower(m.log.String()), "ann@") {
		t.Error("the log names the address")
	}

	worker := &mailWorker{}
	total := time.Duration(0)
	for attempt := 1; attempt < mailAttempts; attempt++ {
		at := worker.NextRetry(&river.Job[MailArgs]{JobRow: &rivertype.JobRow{Attempt: attempt}})
		total += time.Until(at).Round(time.Second)
	}
	if total < 12*time.Hour || total > 13*time.Hour {
		t.Errorf("it is tried for %s", total)
	}
}

// ASVS 5.0 6.3.7: owners are told, in the commit of the change, and of a log-in only if it is from elsewhere.
func TestNotices_A9(t *testing.T) {
	t.Parallel()
	m := setupMail(t)
	ann := m.verified("ann@example.com", identity.User)
	bob := uuid.MustParse(m.register("bob@example.com").member("id"))
	m.server.Wait(t, "bob@example.com", 1)
	tell := func(user uuid.UUID, kind, network, device string) error {
		return postgres.InTx(m.ctx, m.pool, func(tx pgx.Tx) error {
			return m.Notify(m.ctx, tx, user, kind, map[string]string{"network": network, "device": device, "key": ""})
		})
	}
	jobs := func() int { return m.count(`select count(*) from river_job where args ->> 'message' = 'new-login'`) }

	for i, row := range []struct {
		network, device string
		want            int // jobs afterwards
	}{
		{"192.0.2.0/24", "Firefox on Linux", 0}, // the first one
		{"192.0.2.0/24", "Firefox on Linux", 0},
		{"192.0.2.0/24", "curl", 1},
		{"198.51.100.0/24", "Firefox on Linux", 2},
		{"198.51.100.0/24", "Firefox on Linux", 2},
		{"192.0.2.0/24", "Firefox on Linux", 2},
	} {
		if err := tell(ann.ID, noticeLogin, row.network, row.device); err != nil || jobs() != row.want {
			t.Errorf("%d: %v, %d jobs", i, err, jobs())
		}
	}
	m.exec(`update account_devices set seen_at = seen_at - interval '91 days'`)
	if err := tell(ann.ID, noticeLogin, "192.0.2.0/24", "Firefox on Linux"); err != nil || jobs() != 3 {
		t.Errorf("after 91 days: %v, %d jobs", err, jobs())
	}
	if n := m.count(`select count(*) from account_devices`); n != 1 {
		t.Errorf("%d devices are remembered", n)
	}
	if err := tell(ann.ID, noticeKeyCreated, "192.0.2.0/24", ""); err != nil {
		t.Error(err)
	}
	if err := tell(bob, noticeKeyCreated, "", ""); err != nil { // whose address is not verified
		t.Error(err)
	}
	if err := tell(ann.ID, "unknown", "", ""); err == nil {
		t.Error("an unknown notice is accepted")
	}
	m.idle()
	got := m.server.Messages()
	if len(got) != 5 || !slices.ContainsFunc(got, func(r smtptest.Received) bool {
		return r.To == "ann@example.com" && strings.Contains(r.Text, "Network: 192.0.2.0/24\nProgram: curl\n")
	}) {
		t.Errorf("%d messages: %+v", len(got), got)
	}

	for range 30 {
		if err := tell(ann.ID, noticeKeyRotated, "", ""); err != nil {
			t.Error(err)
		}
	}
	if n := m.count(`select count(*) from river_job where args ->> 'message' = 'api-key-rotated'`); n < 1 || n > 2 { // 2 where a period ends
		t.Errorf("%d notices of 30 rotations", n)
	}

	failed := errors.New("no")
	err := postgres.InTx(m.ctx, m.pool, func(tx pgx.Tx) error {
		return errors.Join(m.Notify(m.ctx, tx, ann.ID, noticePassword, nil), failed)
	})
	if !errors.Is(err, failed) || m.count(`select count(*) from river_job where args ->> 'message' = 'password-changed'`) != 0 {
		t.Errorf("%v, or the notice outlived its transaction", err)
	}
}

// SPEC A9: without a mailer nothing is promised and nothing is stored.
func TestWithoutMailer_A9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, root := b.account("ann@example.com", identity.User), b.account("root@example.com", identity.Admin)
	err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return b.Notify(b.ctx, tx, ann.ID, noticeLogin, nil) })
	if err != nil || b.count(`select (select count(*) from river_job) + (select count(*) from account_devices)`) != 0 {
		t.Error(err)
	}
	for _, a := range []answered{
		b.do("POST", "/v1/auth/password-reset", "", body("email", ann.Email)), b.do("POST", "/v1/auth/verification", as(ann), ""),
		b.do("POST", "/v1/users/"+ann.ID.String()+"/password-reset", as(root), ""), b.do("POST", "/v1/invitations", as(root), body("email", "eve@example.com")),
	} {
		if a.status != 409 || a.member("code") != "mail-not-configured" {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}
