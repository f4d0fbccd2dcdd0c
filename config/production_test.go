package config

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	strong = "4tPz81LmWq0Xn7Rv"
	other  = "B9kd2-Hs6w_Qz3Jf"
	third  = "Xk4mN8vQ2wR7tY1uP5sD9fG3hJ6zC0bL"
	stripe = "sk_live_" + strong + other
)

// good is a production that starts; with changes things of it.
func good(changes ...string) map[string]string {
	vars := map[string]string{
		"APP_ENV":          "production",
		"DATABASE_URL":     "postgres://app:" + strong + "@db.example.com/orderflow?sslmode=verify-full",
		"REDIS_URL":        "rediss://:" + other + "@cache.example.com:6379",
		"JWT_KEYS":         goodKey,
		"PAYMENT_PROVIDER": "simulated",

		"ALLOW_SIMULATED_PAYMENTS": "on",

		"STEPS_BEFORE_PAYMENT": "fraud=https://fraud.example.com/check,approval=manual",
		"STEPS_SECRET":         "whsec_" + third,
	}
	for i := 0; i < len(changes); i += 2 {
		vars[changes[i]] = changes[i+1]
	}
	return vars
}

// F7, ASVS 5.0 13.3.1, 12.3.3: production refuses default, short, missing and equal
// secrets, connections in plaintext and wildcards, and names the variable.
func TestProductionRefuses(t *testing.T) {
	t.Parallel()
	secret := strings.TrimPrefix(goodKey, "2026-11=")
	at := func(rest string) string { return "postgres://app:" + strong + "@" + rest }
	rows := []struct{ what, name, value string }{
		{"missing", "DATABASE_URL", ""},
		{"missing", "REDIS_URL", ""},
		{"missing", "JWT_KEYS", ""},
		{"missing", "PAYMENT_PROVIDER", ""},
		{"simulated by oversight", "ALLOW_SIMULATED_PAYMENTS", ""},
		{"simulated by oversight", "ALLOW_SIMULATED_PAYMENTS", "off"},
		{"neither on nor off", "PAYMENT_TEST_TOKENS", "maybe"},
		{"one finger", "JWT_KEYS", "a=" + strings.Repeat("x", 40)},
		{"an example", "JWT_KEYS", "a=changeme-changeme-changeme-changeme"},
		{"short", "JWT_KEYS", "a=tooshort"},
		{"repeated", "JWT_KEYS", "a=" + strings.Repeat("q7Tz0Lm4", 4)},
		{"in order", "JWT_KEYS", "a=abcdefghijklmnopqrstuvwxyz0123456789"},
		{"equal", "JWT_KEYS", goodKey + ",other=" + secret},
		{"short", "TOTP_KEYS", "a=tooshort"},
		{"one finger", "TOTP_KEYS", "a=" + strings.Repeat("x", 40)},
		{"without a secret", "TOTP_KEYS", "a"},
		{"equal to another", "TOTP_KEYS", goodKey},
		{"no such policy", "ADMIN_TOTP", "on"},
		{"cheap hash", "BCRYPT_COST", "4"},

		{"short", "ADMIN_PASSWORD", "4tPz81LmWq0"},
		{"an example", "ADMIN_PASSWORD", "my-Password-4tPz81"},
		{"equal to another", "ADMIN_PASSWORD", secret},
		{"equal to another", "ADMIN_PASSWORD", strong},
		{"equal to another", "REDIS_URL", "rediss://:" + strong + "@cache.example.com"},
		{"equal to another", "DATABASE_URL", "postgres://app:" + other + "@db.example.com/x?sslmode=require"},
		{"not Stripe's", "STRIPE_SECRET_KEY", strong + other},
		{"short", "STRIPE_SECRET_KEY", "sk_live_1"},

		{"no password", "DATABASE_URL", "postgres://app@db.example.com/orderflow?sslmode=require"},
		{"default password", "DATABASE_URL", "postgres://app:postgres@db.example.com/orderflow?sslmode=require"},
		{"the user's name", "DATABASE_URL", "postgres://orderflow1234:orderflow1234@db.example.com/x?sslmode=require"},
		{"default password here", "DATABASE_URL", "postgres://app:changeme-4tPz81@localhost/orderflow"},
		{"short password", "DATABASE_URL", "postgres://app:4tPz81@db.example.com/x?sslmode=require"},
		{"default password", "REDIS_URL", "rediss://:redis@cache.example.com"},

		{"short password", "SMTP_URL", "smtps://mailer:4tPz81@mail.example.com"},
		{"equal to another", "SMTP_URL", "smtps://mailer:" + strong + "@mail.example.com"},
		{"in plaintext", "MAIL_LINK_URL", "http://shop.example.com/account"},

		{"plaintext by default", "DATABASE_URL", at("db.example.com/orderflow")},
		{"plaintext", "DATABASE_URL", at("db.example.com/orderflow?sslmode=disable")},
		{"plaintext first", "DATABASE_URL", at("db.example.com/orderflow?sslmode=allow")},
		{"plaintext if it must", "DATABASE_URL", at("db.example.com/orderflow?sslmode=prefer")},
		{"plaintext to an address", "DATABASE_URL", at("10.0.0.7/orderflow?sslmode=disable")},
		{"plaintext to an IPv6 address", "DATABASE_URL", at("[fd00::7]/orderflow?sslmode=disable")},
		{"plaintext to one of two", "DATABASE_URL", at("localhost,db.example.com/orderflow?sslmode=disable")},
		{"host in a parameter", "DATABASE_URL", "postgres://app:" + strong + "@/orderflow?host=db.example.com&sslmode=disable"},
		{"looks local", "DATABASE_URL", at("localhost.example.com/orderflow?sslmode=disable")},
		{"cannot be read", "DATABASE_URL", at("db.example.com/orderflow?sslmode=maybe")},
		{"no such file", "DATABASE_URL", at("db.example.com/orderflow?sslmode=verify-full&sslrootcert=/nowhere")},
		{"plaintext", "REDIS_URL", "redis://:" + other + "@cache.example.com:6379"},
		{"plaintext", "REDIS_URL", "redis://10.0.0.8:6379"},
		{"plaintext", "STRIPE_API_URL", "http://stripe.example.com"},
		{"plaintext", "PAYMENT_SIMULATOR_URL", "http://bank.example.com"},

		{"plaintext", "STEPS_BEFORE_PAYMENT", "fraud=http://fraud.example.com/check"},
		{"plaintext to one of two", "STEPS_BEFORE_PAYMENT", "fraud=https://fraud.example.com/check,credit=http://10.0.0.9/check"},
		{"missing", "STEPS_SECRET", ""},
		{"all zero", "STEPS_SECRET", "whsec_" + strings.Repeat("A", 32)},
		{"repeated", "STEPS_SECRET", "whsec_" + strings.Repeat("q7Tz0Lm4", 4)},
		{"equal to another", "STEPS_SECRET", "whsec_" + secret},
		{"too short", "STEPS_SECRET", "whsec_q7Tz0Lm4Vx5uT8r1"},

		{"any origin", "ALLOWED_ORIGINS", "*"},
		{"the null origin", "ALLOWED_ORIGINS", "null"},
		{"a wildcard", "ALLOWED_ORIGINS", "https://*.example.com"},
		{"a wildcard among others", "ALLOWED_ORIGINS", "https://shop.example.com,https://*"},
		{"a path", "ALLOWED_ORIGINS", "https://shop.example.com/"},
		{"a user", "ALLOWED_ORIGINS", "https://shop.example.com@evil.example"},
		{"a query", "ALLOWED_ORIGINS", "https://shop.example.com?"},
		{"the usual port", "ALLOWED_ORIGINS", "https://shop.example.com:443"},
		{"capitals", "ALLOWED_ORIGINS", "https://Shop.example.com"},
		{"not ASCII", "ALLOWED_ORIGINS", "https://shöp.example.com"},
		{"only a port", "ALLOWED_ORIGINS", "https://:8443"},
		{"plaintext", "PUBLIC_URL", "http://api.example.com"},
		{"a path", "PUBLIC_URL", "https://api.example.com/v1"},
		{"the port of clients", "INTERNAL_PORT", "3000"},
		{"the internet", "TRUSTED_PROXIES", "0.0.0.0/0"},
		{"the internet", "TRUSTED_PROXIES", "10.0.0.0/8,::/0"},
		{"the internet in two", "TRUSTED_PROXIES", "0.0.0.0/1,128.0.0.0/1"},
		{"the internet in two of IPv6", "TRUSTED_PROXIES", "::/1,8000::/1"},
		{"the internet as IPv6", "TRUSTED_PROXIES", "::ffff:0:0/97,::ffff:128.0.0.0/97"},
		{"more than a /8", "TRUSTED_PROXIES", "20.0.0.0/8,30.0.0.1"},
		{"more than a /20 of IPv6", "TRUSTED_PROXIES", "2000::/19"},
		{"everything in two", "WEBHOOK_ALLOWED_NETWORKS", "0.0.0.0/1,128.0.0.0/1"},
		{"metadata of a cloud", "WEBHOOK_ALLOWED_NETWORKS", "169.254.169.254"},
		{"metadata of a cloud", "WEBHOOK_ALLOWED_NETWORKS", "169.254.0.0/16"},
		{"metadata of a cloud over IPv6", "WEBHOOK_ALLOWED_NETWORKS", "fd00:ec2::/32"},
		{"everything", "WEBHOOK_ALLOWED_NETWORKS", "0.0.0.0/0"},
		{"everything", "WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8,::/0"},
	}
	for _, row := range rows {
		vars := good("ADMIN_EMAIL", "root@example.com", "ADMIN_PASSWORD", "Vx5-uT8r_mC1e")
		vars[row.name] = row.value

		_, err := from(vars)

		if err == nil || !strings.Contains(err.Error(), row.name+":") {
			t.Errorf("%s %s: error is %v, want one that names %s", row.name, row.what, err, row.name)
			continue
		}
		for _, hidden := range []string{strong, other, third, secret, "changeme-4tPz81", "orderflow1234:"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%s %s: a secret stands in the error: %v", row.name, row.what, err)
			}
		}
	}
}

// SPEC A13: administrators could not set up the second factor that they need.
func TestRequiredSecondFactorNeedsKeys_A13(t *testing.T) {
	t.Parallel()
	if _, err := from(good("ADMIN_TOTP", "required")); err == nil || !strings.Contains(err.Error(), "TOTP_KEYS: must be set") {
		t.Errorf("required without keys: %v", err)
	}
	for _, policy := range []string{"optional", "off"} {
		if _, err := from(good("ADMIN_TOTP", policy)); err != nil {
			t.Errorf("%s: %v", policy, err)
		}
	}
	c, err := from(good("ADMIN_TOTP", "required", "TOTP_KEYS", "2026-11=zX3-fR8k_Vq1Nw6pLm5tYb0Jd9Ghs2Ec7"))
	if err != nil || c.AdminTOTP != "required" {
		t.Errorf("required with keys: %v", err)
	}
	if c, err := from(map[string]string{"ADMIN_TOTP": "required"}); err != nil || c.TOTPKeys != "" {
		t.Errorf("in development: %v", err)
	}
	if c, err := from(nil); err != nil || c.AdminTOTP != "optional" {
		t.Errorf("by default: %v", err)
	}
}

// What is encrypted, local, or named as a network of one's own passes.
func TestProductionStarts(t *testing.T) {
	t.Parallel()
	at := func(rest string) string { return "postgres://app:" + strong + "@" + rest }
	for name, vars := range map[string]map[string]string{
		"as it should be": good(),
		"require":         good("DATABASE_URL", at("db.example.com/x?sslmode=require")),
		"this machine":    good("DATABASE_URL", at("localhost/x?sslmode=disable"), "REDIS_URL", "redis://127.0.0.1:6379"),
		"loopback":        good("DATABASE_URL", at("[::1]/x"), "REDIS_URL", "redis://[::1]:6379"),
		"a socket":        good("DATABASE_URL", "postgres:///x?host=/var/run/postgresql&user=app", "REDIS_URL", "unix:///var/run/redis.sock"),
		"a private network": good("DATABASE_URL", at("postgres/x?sslmode=disable"), "REDIS_URL", "redis://redis:6379",
			"PLAINTEXT_HOSTS", "postgres, redis"),
		"a private step": good("STEPS_BEFORE_PAYMENT", "fraud=http://fraud:8080/check", "PLAINTEXT_HOSTS", "fraud"),
		"a local step":   good("STEPS_BEFORE_PAYMENT", "fraud=http://127.0.0.1:8080/check"),
		"a person":       good("STEPS_BEFORE_PAYMENT", "approval=manual", "STEPS_SECRET", ""),
		"origins":        good("ALLOWED_ORIGINS", "https://shop.example.com, http://localhost:5173,https://xn--shp-sna.example.com:8443,https://[2001:db8::1]:8443"),
		"receivers":      good("WEBHOOK_ALLOWED_NETWORKS", "10.7.0.0/16"),
		"proxies":        good("TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.7,fd00::/8"),
		"stripe":         good("PAYMENT_PROVIDER", "stripe", "STRIPE_SECRET_KEY", stripe),
		"two keys":       good("JWT_KEYS", goodKey+",old=zX3-fR8k_Vq1Nw6pLm5tYb0Jd9Ghs2Ec7"),
	} {
		if _, err := from(vars); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Development asks for none of it.
func TestDevelopmentMayBeCareless(t *testing.T) {
	t.Parallel()
	_, err := from(map[string]string{
		"DATABASE_URL": "postgres://postgres:postgres@db.example.com/x", "REDIS_URL": "redis://cache.example.com", "BCRYPT_COST": "4",
		"ADMIN_EMAIL": "root@example.com", "ADMIN_PASSWORD": "password", "TRUSTED_PROXIES": "0.0.0.0/0",
	})
	if err != nil {
		t.Error(err)
	}
}

// F8: docker compose starts in production with what .env must give, and its private
// network is the only thing that it is excused for.
func TestComposeStarts(t *testing.T) {
	t.Parallel()
	vars := composeSettings(t, map[string]string{"POSTGRES_PASSWORD": strong, "RUNTIME_PASSWORD": other, "JWT_KEYS": goodKey})
	if vars["APP_ENV"] != "production" || vars["PLAINTEXT_HOSTS"] == "" {
		t.Fatalf("read %v", vars)
	}
	if _, err := from(maps.Clone(vars)); err != nil {
		t.Error(err)
	}
	delete(vars, "PLAINTEXT_HOSTS")
	_, err := from(vars)
	if err == nil || !strings.Contains(err.Error(), "DATABASE_URL: its host, or one of them, may be reached without TLS") || !strings.Contains(err.Error(), "REDIS_URL:") {
		t.Errorf("without the excuse: %v", err)
	}
}

// composeSettings reads the block of the nodes' environment, which is plain enough
// to do without YAML; tools/deploycheck reads the file as Compose does.
func composeSettings(t *testing.T, env map[string]string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(raw), "environment: &settings\n")
	variable := regexp.MustCompile(`\$\{(\w+):[-?]([^}]*)\}`)
	vars := map[string]string{}
	for line := range strings.Lines(block) {
		name, value, found := strings.Cut(strings.TrimSpace(line), ": ")
		if !strings.HasPrefix(line, "    ") {
			break
		}
		if !found || strings.HasPrefix(name, "#") {
			continue
		}
		vars[name] = variable.ReplaceAllStringFunc(strings.Trim(value, `"`), func(use string) string {
			parts := variable.FindStringSubmatch(use)
			if given, ok := env[parts[1]]; ok {
				return given
			}
			return parts[2]
		})
	}
	return vars
}

// What is wide but private, or no more than a /8 of public addresses, passes.
func TestNetworksThatPass(t *testing.T) {
	t.Parallel()
	for _, networks := range []string{"10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fd07::/16", "20.0.0.0/8", "20.0.0.0/8,20.0.0.0/9,20.1.2.3", "20.0.0.0/9,20.1.2.3,20.0.0.0/8", "2001:db8::/32"} {
		if _, err := from(good("TRUSTED_PROXIES", networks, "WEBHOOK_ALLOWED_NETWORKS", networks)); err != nil {
			t.Errorf("%s: %v", networks, err)
		}
	}
}

// SPEC F12, ASVS 5.0 13.2.1: production starts without limits and without a password of Redis, and says so.
func TestWarnings(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string][]string{
		"RATE_LIMIT":       {"RATE_LIMIT", "off"},
		"LOGIN_RATE_LIMIT": {"LOGIN_RATE_LIMIT", "off"},
		"ORDER_RATE_LIMIT": {"ORDER_RATE_LIMIT", "off"},
		"REDIS_URL":        {"REDIS_URL", "rediss://cache.example.com:6379"},
		"":                 {"REDIS_URL", "redis://127.0.0.1:6379"},
	} {
		c, err := from(good(changes...))
		if err != nil {
			t.Fatal(err)
		}
		warnings := c.Warnings()
		if name == "" && len(warnings) != 0 || name != "" && (len(warnings) != 1 || !strings.HasPrefix(warnings[0], name+":")) {
			t.Errorf("%v: %v", changes, warnings)
		}
	}
}
