package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/smtptest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/mail"
)

// mailed waits for the n-th message with a subject to an address in the outbox, counted from 1, and
// returns its text.
func (s *server) mailed(email, subject string, n int) (text string) {
	s.t.Helper()
	testwait.Until(s.t, fmt.Sprintf("message %d %q to %s", n, subject, email), func() bool {
		a := s.anonymous().want(200, "GET", "/try/mail", "")
		list, _ := a.at("data").([]any)
		count := 0
		for _, one := range slices.Backward(list) {
			m, _ := one.(map[string]any)
			if m["to"] == email && m["subject"] == subject {
				if count++; count == n {
					text, _ = m["text"].(string)
					return true
				}
			}
		}
		return false
	})
	return text
}

// mailedToken is the token of the first message with a subject to an address.
func (s *server) mailedToken(email, subject string) string {
	s.t.Helper()
	return mailedToken.FindString(s.mailed(email, subject, 1))
}

const (
	confirmSubject = "Confirm your e-mail address"
	resetSubject   = "Reset your password"
	inviteSubject  = "You are invited"
)

// verified confirms the address of a person with the code of the n-th message.
func (s *server) verified(email string, n int) {
	s.t.Helper()
	token := mailedToken.FindString(s.mailed(email, confirmSubject, n))
	s.anonymous().want(204, "POST", "/v1/auth/verification/confirm", fmt.Sprintf(`{"token":%q}`, token))
}

// SPEC A9: an account whose address must be verified may use only what leads out of that, on every node.
// Verification takes effect without another log-in.
func TestUnverifiedAccounts_A9(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.EmailVerification = config.VerificationRequired
	one := serveTest(t, cfg)
	cfg.Roles = []string{"api"} // the messages are in the outbox of the node that works the jobs
	other := serveTest(t, cfg)
	one.admin().product("KETTLE", 10)
	ann := one.user("ann")

	me := ann.want(200, "GET", "/v1/users/me", "")
	if me.at("emailVerified") != false {
		t.Errorf("%s", me)
	}
	var allowed []string
	for _, r := range described().Routes() {
		if r.Role == identity.Anyone {
			continue
		}
		if r.AllowRestricted {
			allowed = append(allowed, r.Method+" "+r.Path)
			continue
		}
		path := strings.NewReplacer("{id}", uuid.NewString(), "{sku}", "KETTLE", "{number}", "1", "{replayId}", uuid.NewString(), "{name}", "x").Replace(r.Path)
		for _, s := range []*server{one, other} {
			if a := ann.on(s).send(r.Method, path, ""); a.status != 403 || a.text("code") != "email-not-verified" {
				t.Errorf("%s %s: %s", r.Method, path, a)
			}
		}
	}
	slices.Sort(allowed)
	if got := strings.Join(allowed, ", "); got != "DELETE /v1/auth/sessions, DELETE /v1/auth/sessions/{id}, GET /v1/auth/sessions, GET /v1/auth/totp, GET /v1/users/me, "+
		"POST /v1/auth/confirm, POST /v1/auth/logout, POST /v1/auth/password, POST /v1/auth/totp, POST /v1/auth/totp/activate, POST /v1/auth/verification" {
		t.Errorf("allowed are %s", got)
	}

	// A later message replaces the code of an earlier one.
	first := one.mailedToken(ann.email, confirmSubject)
	ann.want(202, "POST", "/v1/auth/verification", "")
	one.mailed(ann.email, confirmSubject, 2)
	if a := one.anonymous().want(422, "POST", "/v1/auth/verification/confirm", fmt.Sprintf(`{"token":%q}`, first)); a.text("code") != "invalid-verification-token" {
		t.Errorf("%s", a)
	}
	one.verified(ann.email, 2)
	for _, s := range []*server{one, other} {
		testwait.Until(t, "the restriction to end", func() bool {
			return ann.on(s).send("POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`).status == 201
		})
	}
	if a := ann.want(409, "POST", "/v1/auth/verification", ""); a.text("code") != "email-already-verified" {
		t.Errorf("%s", a)
	}
}

// ASVS 5.0 6.3.7: the owner is notified of changes of the account that any node makes.
func TestOwnersAreNotified_A9(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	ann := s.user("ann")
	logIn := fmt.Sprintf(`{"email":%q,"password":%q}`, ann.email, userPassword)
	firefox := "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0 <script>"

	for range 2 { // known from the second time on
		s.anonymous().want(200, "POST", "/v1/auth/login", logIn, firefox)
	}
	text := s.mailed(ann.email, "New log-in to your account", 1)
	if !strings.Contains(text, "\nNetwork: 127.0.0.0/24\nProgram: Firefox on Windows\n") {
		t.Errorf("it says\n%s", text)
	}
	key := ann.want(201, "POST", "/v1/api-keys", `{"name":"a secret name","scopes":["orders:read"]}`).text("id")
	if text := s.mailed(ann.email, "A new API key for your account", 1); !strings.Contains(text, "\nAPI key: "+key+"\n") || strings.Contains(text, "a secret name") {
		t.Errorf("it says\n%s", text)
	}
	ann.want(200, "POST", "/v1/api-keys/"+key+"/rotate", `{}`)
	s.mailed(ann.email, "An API key of your account was rotated", 1)
	ann.want(200, "POST", "/v1/auth/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":"another quiet morning"}`, userPassword))
	s.mailed(ann.email, "Your password was changed", 1)

	s.anonymous().want(202, "POST", "/v1/auth/password-reset", fmt.Sprintf(`{"email":%q}`, ann.email))
	token := s.mailedToken(ann.email, resetSubject)
	s.anonymous().want(204, "POST", "/v1/auth/password-reset/confirm", fmt.Sprintf(`{"token":%q,"newPassword":"a third quiet morning"}`, token))
	s.mailed(ann.email, "Your password was reset", 1)
	testwait.Until(t, "all sessions to end", func() bool { return ann.send("GET", "/v1/users/me", "").status == 401 })
	s.logIn(ann.email, "a third quiet morning")

	if a := s.anonymous().want(200, "GET", "/try/mail", ""); strings.Count(string(a.raw), "New log-in") != 1 {
		t.Errorf("%s", a)
	}
}

// SPEC A9: with a mail server, messages leave the process: they are not shown at /try.
func TestMessagesLeave_A9(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t, smtptest.Options{STARTTLS: false, Auth: true})
	cfg := settings(t)
	cfg.SMTPURL = config.Secret("smtp://" + smtptest.User + ":" + smtptest.Password + "@" + server.Addr)
	cfg.MailFrom, cfg.EmailVerification = "Orderflow <no-reply@shop.example>", config.VerificationRequired
	s := serveTest(t, cfg)
	ann := s.user("ann")
	token := mailedToken.FindString(server.Wait(t, ann.email, 1).Text)
	s.anonymous().want(204, "POST", "/v1/auth/verification/confirm", fmt.Sprintf(`{"token":%q}`, token))
	if a, err := s.anonymous().try("GET", "/try/mail", ""); err != nil || a.status != 404 {
		t.Errorf("%s %v", a, err)
	}
}

// letters is the mailer of a program.
type letters chan mail.Message

func (l letters) Send(_ context.Context, m mail.Message) error {
	l <- m
	return nil
}

// SPEC A9: a program may send messages itself.
func TestWithMailer_A9(t *testing.T) {
	t.Parallel()
	sent := make(letters, 10)
	s := serveTest(t, settings(t), WithMailer(func(p *Platform) (mail.Mailer, error) { return sent, nil }))
	ann := s.user("ann")
	s.anonymous().want(202, "POST", "/v1/auth/password-reset", fmt.Sprintf(`{"email":%q}`, ann.email))
	if m := testwait.For(t, "a message", sent); m.To != ann.email || m.Subject != resetSubject {
		t.Errorf("%+v", m)
	}

	ours := func(*Platform) (mail.Mailer, error) { return sent, nil }
	for want, options := range map[string][]Option{
		"the constructor of WithMailer is nil or returned nil": {WithMailer(nil)},
		"there are 2 mailers; give one":                        {WithMailer(ours), WithMailer(ours)},
	} {
		cfg := settings(t)
		if _, err := newProgram(&cfg, extensionsOf(options)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	empty := func(*Platform) (mail.Mailer, error) { return nil, nil }
	cfg := settings(t)
	if _, err := newProgram(&cfg, extensionsOf([]Option{WithMailer(empty)})); err == nil {
		t.Error("a mailer that is nil is accepted")
	}
}

// SPEC A9, F7: production does not require what it could never send, and has no outbox.
func TestProductionNeedsAMailer_A9_F7(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.Env, cfg.EmailVerification = config.Production, config.VerificationRequired
	if _, err := newProgram(&cfg, extensions{}); err == nil || !strings.Contains(err.Error(), "EMAIL_VERIFICATION:") {
		t.Errorf("%v", err)
	}
	if _, err := newProgram(&cfg, extensionsOf([]Option{WithMailer(func(*Platform) (mail.Mailer, error) { return make(letters), nil })})); err != nil {
		t.Error(err)
	}
	cfg.EmailVerification = config.VerificationOff
	n := newNode(&cfg, usual, slog.New(slog.DiscardHandler), noop.NewTracerProvider())
	if m, err := n.newMailer(nil); m != nil || err != nil || n.outbox != nil {
		t.Errorf("%v %v", m, err)
	}
}
