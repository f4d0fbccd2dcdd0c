package config

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

const goodKey = "2026-11=q8Zk3vT1mPz7Lw0Xc5Rn9Yb2Hd6Jf4Sg"

func TestDefaultsNeedNothing(t *testing.T) {
	t.Parallel()

	c, err := from(map[string]string{})

	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 3000 || c.DataDir != ".orderflow" || c.IsProduction() || !c.Has("api") || !c.Has("worker") {
		t.Errorf("defaults are %+v", c)
	}
	if want := (Limit{200, time.Second}); c.RateLimit != want {
		t.Errorf("RATE_LIMIT is %v, want %v", c.RateLimit, want)
	}
	if perAddress, orders := c.RateLimitPerAddress.String(), c.OrderRateLimit.String(); perAddress != "1000/1s" || orders != "1000/1s" {
		t.Errorf("RATE_LIMIT_PER_ADDRESS is %s, ORDER_RATE_LIMIT is %s", perAddress, orders)
	}
}

// F2: a bad value is named, all of them at once.
func TestEveryBadValueIsNamed(t *testing.T) {
	t.Parallel()

	bad := map[string]string{
		"APP_ENV": "staging", "PORT": "many", "ROLES": "api,cook", "DATABASE_URL": "mysql://x", "REDIS_URL": "x",
		"RATE_LIMIT": "fast", "RATE_LIMIT_PER_ADDRESS": "5x", "ORDER_RATE_LIMIT": "many", "LOGIN_RATE_LIMIT": "0/1m", "TRUSTED_PROXIES": "10.0.0.0/33", "ALLOWED_ORIGINS": "*",
		"BCRYPT_COST": "3", "EVENT_RETENTION": "-1h", "LOG_LEVEL": "loud", "LOG_FORMAT": "xml", "ADMIN_EMAIL": "a@b.c", "JWT_KEYS": "a=short",
		"DATABASE_MAX_CONNS": "1", "WORKER_SLOTS": "0",
		"PAYMENT_PROVIDER": "cash", "PAYMENT_SIMULATOR_URL": "bank", "STRIPE_API_URL": "ftp://x", "RESERVATION_TTL": "1s",
		"WEBHOOK_ALLOWED_NETWORKS": "localhost", "WEBHOOK_RETENTION": "1h",
		"PUBLIC_URL": "api.example.com", "INTERNAL_PORT": "70000",
		"STEPS_BEFORE_PAYMENT": "fraud", "STEPS_SECRET": "whsec_short", "API_KEY_MAX_AGE": "1m",
		"REGISTRATION": "closed", "EMAIL_VERIFICATION": "on", "SMTP_URL": "http://mail.example.com", "MAIL_FROM": "nobody", "MAIL_LINK_URL": "https://shop.example.com/?a=b",
	}
	_, err := from(bad)

	if err == nil {
		t.Fatal("accepted")
	}
	for name := range bad {
		if !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s is not named in:\n%v", name, err)
		}
	}
}

// A6: proxies are networks or single addresses.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()

	c, err := from(map[string]string{"TRUSTED_PROXIES": "10.0.0.0/8, 192.168.1.7,fd00::7"})

	if err != nil || fmt.Sprint(c.TrustedProxies) != "[10.0.0.0/8 192.168.1.7/32 fd00::7/128]" {
		t.Errorf("%v, %v", c, err)
	}
}

// E8: none are open unless they are named, in development too.
func TestWebhookNetworks(t *testing.T) {
	t.Parallel()

	none, err := from(map[string]string{})
	if err != nil || len(none.WebhookNetworks) != 0 || none.WebhookRetention != 30*24*time.Hour {
		t.Errorf("%+v, %v", none, err)
	}
	some, err := from(map[string]string{"WEBHOOK_ALLOWED_NETWORKS": "10.1.0.0/16, 127.0.0.1"})
	if err != nil || fmt.Sprint(some.WebhookNetworks) != "[10.1.0.0/16 127.0.0.1/32]" {
		t.Errorf("%v, %v", some, err)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()

	c, err := from(map[string]string{"JWT_KEYS": goodKey, "DATABASE_URL": "postgres://app:hunter22@db/x"})
	if err != nil {
		t.Fatal(err)
	}

	for _, out := range []string{fmt.Sprint(*c), fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", *c), c.DatabaseHost()} {
		if strings.Contains(out, "q8Zk3") || strings.Contains(out, "hunter22") {
			t.Errorf("a secret is printed: %s", out)
		}
	}
}

// F2: a program that adds payment providers may select one. The error of an unknown name lists
// all names.
func TestAddedProvidersAreNamed(t *testing.T) {
	t.Parallel()

	if c, err := from(map[string]string{"PAYMENT_PROVIDER": "invoice"}, "adyen", "invoice"); err != nil || c.PaymentProvider != "invoice" {
		t.Errorf("%v", err)
	}
	_, err := from(map[string]string{"PAYMENT_PROVIDER": "cash"}, "adyen", "invoice")
	if err == nil || !strings.Contains(err.Error(), "PAYMENT_PROVIDER: must be simulated, adyen, invoice or stripe") {
		t.Errorf("it says %v", err)
	}
}

// SPEC F14: the limit of an address follows that of a caller, and is never below it.
func TestLimitPerAddress_F14(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ caller, address, want string }{
		{"10/1m", "", "50/1m0s"},
		{"off", "", "off"},
		{"10/1m", "off", "off"},
		{"10/1m", "10/1m", "10/1m0s"},
		{"off", "10/1m", "10/1m0s"},
		{"10/1m", "1000/1h", "1000/1h0m0s"},
		{"10/1m", "9/1s", "refused"},
		{"10/1m", "100/1h", "refused"},
	} {
		c, err := from(map[string]string{"RATE_LIMIT": row.caller, "RATE_LIMIT_PER_ADDRESS": row.address})
		got := "refused"
		if err == nil {
			got = c.RateLimitPerAddress.String()
		} else if !strings.Contains(err.Error(), "RATE_LIMIT_PER_ADDRESS: must not be lower") {
			t.Error(err)
		}
		if got != row.want {
			t.Errorf("RATE_LIMIT=%s RATE_LIMIT_PER_ADDRESS=%s: %s, want %s", row.caller, row.address, got, row.want)
		}
	}
}

// SPEC A9: verification is required exactly where messages can be sent, unless it is set.
func TestMailDefaults_A9(t *testing.T) {
	t.Parallel()
	smtp := map[string]string{"SMTP_URL": "smtp://mail.example.com", "MAIL_FROM": "Orderflow <no-reply@example.com>"}
	with := func(name, value string) map[string]string {
		vars := maps.Clone(smtp)
		vars[name] = value
		return vars
	}
	for _, row := range []struct {
		vars                       map[string]string
		registration, verification string
	}{
		{map[string]string{}, RegistrationOpen, VerificationOff},
		{map[string]string{"EMAIL_VERIFICATION": "required"}, RegistrationOpen, VerificationRequired},
		{smtp, RegistrationOpen, VerificationRequired},
		{with("EMAIL_VERIFICATION", "off"), RegistrationOpen, VerificationOff},
		{with("REGISTRATION", "invite"), RegistrationInvite, VerificationRequired},
		{map[string]string{"REGISTRATION": "off"}, RegistrationOff, VerificationOff},
	} {
		c, err := from(maps.Clone(row.vars))
		if err != nil || c.Registration != row.registration || c.EmailVerification != row.verification {
			t.Errorf("%v: %+v, %v", row.vars, c, err)
		}
	}
	for _, bad := range []map[string]string{
		{"SMTP_URL": "smtp://mail.example.com"}, with("SMTP_URL", "smtp://:587"), with("SMTP_URL", "smtps://mail.example.com/inbox"), with("SMTP_URL", "smtps://mail.example.com:0"),
		with("MAIL_FROM", "Orderflow <no-reply@example.com>, eve@example.com"), with("MAIL_LINK_URL", "shop.example.com"), with("MAIL_LINK_URL", "https://shop.example.com/#x"),
	} {
		if c, err := from(bad); err == nil {
			t.Errorf("%v is accepted: %+v", bad, c)
		}
	}
}

// SPEC A9, F7: production sends mail without TLS only to this machine and to hosts that are listed.
func TestMailInPlaintext_A9_F7(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		url, hosts string
		want       bool
	}{
		{"smtp://mail.example.com", "", false}, {"smtp://mail.example.com", "mail.example.com", true}, {"smtp://127.0.0.1", "", true},
		{"smtps://mail.example.com", "mail.example.com", false},
	} {
		c, err := from(good("SMTP_URL", row.url, "MAIL_FROM", "no-reply@example.com", "PLAINTEXT_HOSTS", row.hosts))
		if err != nil || c.SMTPPlaintext() != row.want {
			t.Errorf("%v: %v", row, err)
		}
	}
	c, err := from(map[string]string{"SMTP_URL": "smtp://mail.example.com", "MAIL_FROM": "no-reply@example.com"})
	if err != nil || !c.SMTPPlaintext() {
		t.Errorf("development requires STARTTLS: %v", err)
	}
}

// SPEC F15: ADMIN_PASSWORD alone is for admin create, which has the address as a flag.
func TestAdminPasswordAlone_F15(t *testing.T) {
	t.Parallel()
	if _, err := from(map[string]string{"ADMIN_PASSWORD": "a quiet blue morning"}); err != nil {
		t.Error(err)
	}
	if _, err := from(map[string]string{"ADMIN_EMAIL": "eve@example.com"}); err == nil || !strings.Contains(err.Error(), "ADMIN_EMAIL") {
		t.Errorf("an address without a password: %v", err)
	}
}
