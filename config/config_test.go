package config

import (
	"fmt"
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
}

// F2: a bad value is named, all of them at once.
func TestEveryBadValueIsNamed(t *testing.T) {
	t.Parallel()

	bad := map[string]string{
		"APP_ENV": "staging", "PORT": "many", "ROLES": "api,cook", "DATABASE_URL": "mysql://x", "REDIS_URL": "x",
		"RATE_LIMIT": "fast", "LOGIN_RATE_LIMIT": "0/1m", "TRUSTED_PROXIES": "10.0.0.0/33", "ALLOWED_ORIGINS": "*",
		"BCRYPT_COST": "3", "EVENT_RETENTION": "-1h", "LOG_LEVEL": "loud", "ADMIN_EMAIL": "a@b.c", "JWT_KEYS": "a=short",
		"DATABASE_MAX_CONNS": "1", "WORKER_SLOTS": "0",
		"PAYMENT_PROVIDER": "cash", "PAYMENT_SIMULATOR_URL": "bank", "STRIPE_API_URL": "ftp://x", "RESERVATION_TTL": "1s",
		"WEBHOOK_ALLOWED_NETWORKS": "localhost", "WEBHOOK_RETENTION": "1h",
		"PUBLIC_URL": "api.example.com", "INTERNAL_PORT": "70000",
		"STEPS_BEFORE_PAYMENT": "fraud", "STEPS_SECRET": "whsec_short",
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

	for _, out := range []string{fmt.Sprint(*c), fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", *c), c.Describe()} {
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
