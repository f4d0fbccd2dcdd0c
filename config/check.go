package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// minSecret is the length in bytes from which a signing secret is long enough
// for HS256 (RFC 7518, section 3.2).
const minSecret = 32

func (c *Config) check() (problems []string) {
	bad := func(name, format string, args ...any) {
		problems = append(problems, name+": "+fmt.Sprintf(format, args...))
	}

	if c.Env != Development && c.Env != Production {
		bad("APP_ENV", "is %q, must be development or production", c.Env)
	}
	if c.Port < 0 || c.Port > 65535 {
		bad("PORT", "is %d, must be 0 to 65535", c.Port)
	}
	if len(c.Roles) == 0 || slices.ContainsFunc(c.Roles, func(r string) bool { return r != "api" && r != "worker" }) {
		bad("ROLES", "is %q, must be api, worker or api,worker", strings.Join(c.Roles, ","))
	}
	if c.DatabaseConns < 4 || c.DatabaseConns > 1000 {
		bad("DATABASE_MAX_CONNS", "is %d, must be 4 to 1000", c.DatabaseConns)
	}
	if c.WorkerSlots < 1 || c.WorkerSlots > 10_000 {
		bad("WORKER_SLOTS", "is %d, must be 1 to 10000", c.WorkerSlots)
	}
	if c.StreamsPerAccount < 1 || c.StreamsPerAccount > 20_000 {
		bad("STREAMS_PER_ACCOUNT", "is %d, must be 1 to 20000", c.StreamsPerAccount)
	}
	if c.BcryptCost < 4 || c.BcryptCost > 16 {
		bad("BCRYPT_COST", "is %d, must be 4 to 16", c.BcryptCost)
	}
	if c.EventRetention <= 0 {
		bad("EVENT_RETENTION", "must be above zero, such as 168h")
	}
	if c.WebhookRetention < 96*time.Hour {
		bad("WEBHOOK_RETENTION", "must be at least 96h: a delivery is tried for three days")
	}
	if c.NotificationRetention <= 0 {
		bad("NOTIFICATION_RETENTION", "must be above zero, such as 2160h")
	}
	problems = append(problems, c.checkPayments()...)
	if err := new(slog.LevelVar).UnmarshalText([]byte(c.LogLevel)); err != nil {
		bad("LOG_LEVEL", "is %q, must be debug, info, warn or error", c.LogLevel)
	}
	if (c.AdminEmail == "") != (c.AdminPassword == "") {
		bad("ADMIN_EMAIL", "and ADMIN_PASSWORD go together")
	}
	if n := len(c.AdminPassword); n > 0 && (n < 8 || n > 72) {
		bad("ADMIN_PASSWORD", "must have 8 to 72 bytes")
	}
	problems = append(problems, scheme("DATABASE_URL", c.DatabaseURL, "postgres", "postgresql")...)
	problems = append(problems, scheme("REDIS_URL", c.RedisURL, "redis", "rediss", "unix")...)
	for _, o := range c.Origins {
		if !isOrigin(o) {
			bad("ALLOWED_ORIGINS", "%q is not an origin such as https://shop.example.com; there are no wildcards", o)
		}
	}
	problems = append(problems, c.checkKeys()...)
	if c.IsProduction() {
		problems = append(problems, c.checkProduction()...)
	}
	return problems
}

func (c *Config) checkPayments() (problems []string) {
	switch c.PaymentProvider {
	case "simulated":
	case "stripe":
		if c.StripeSecretKey == "" {
			problems = append(problems, "STRIPE_SECRET_KEY: must be set with PAYMENT_PROVIDER=stripe")
		}
	case "":
		problems = append(problems, "PAYMENT_PROVIDER: must be set in production: stripe, or simulated to move no money")
	default:
		problems = append(problems, fmt.Sprintf("PAYMENT_PROVIDER: is %q, must be simulated or stripe", c.PaymentProvider))
	}
	for name, value := range map[string]string{"PAYMENT_SIMULATOR_URL": c.SimulatorURL, "STRIPE_API_URL": c.StripeAPIURL} {
		if u, err := url.Parse(value); value != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			problems = append(problems, fmt.Sprintf("%s: %q is not a URL such as http://localhost:12111", name, value))
		}
	}
	if c.ReservationTTL < time.Minute {
		problems = append(problems, "RESERVATION_TTL: must be at least 1m")
	}
	return problems
}

// isOrigin accepts what a browser sends, letter by letter: anything else would never
// be equal to it, or be more than one site.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || s != u.Scheme+"://"+u.Host {
		return false
	}
	usual := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	odd := func(r rune) bool { return r > unicode.MaxASCII || unicode.IsUpper(r) || strings.ContainsRune("*, ", r) }
	return u.Port() != usual && !strings.ContainsFunc(s, odd)
}

func scheme(name string, value Secret, allowed ...string) []string {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value.Reveal())
	if err != nil || !slices.Contains(allowed, u.Scheme) {
		// The value is a secret: say what it should look like, not what it is.
		return []string{name + ": must be a URL that starts with " + allowed[0] + "://"}
	}
	return nil
}

func (c *Config) checkKeys() (problems []string) {
	if c.JWTKeys == "" {
		return nil
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(c.JWTKeys.Reveal(), ",") {
		kid, secret, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !ok || kid == "" || !utf8.ValidString(part):
			problems = append(problems, "JWT_KEYS: must look like 2026-11=<secret>,2026-05=<older secret>")
		case seen[kid], seen["="+secret]:
			problems = append(problems, "JWT_KEYS: every key needs an id and a secret of its own")
		case len(secret) < minSecret:
			problems = append(problems, fmt.Sprintf("JWT_KEYS: the secret of %q is shorter than %d bytes", kid, minSecret))
		case weak(secret):
			problems = append(problems, fmt.Sprintf("JWT_KEYS: the secret of %q is a default or can be guessed", kid))
		}
		seen[kid], seen["="+secret] = true, true
	}
	return problems
}
