package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// minSecret is the minimum length in bytes of a signing secret for HS256 (RFC 7518, section 3.2).
const minSecret = 32

func (c *Config) check(providers []string) (problems []string) {
	bad := func(name, what string) { problems = append(problems, name+": "+what) }

	if c.Env != Development && c.Env != Production {
		bad("APP_ENV", "must be development or production")
	}
	if c.Port < 0 || c.Port > 65535 {
		bad("PORT", "must be 0 to 65535")
	}
	if c.InternalPort < 0 || c.InternalPort > 65535 {
		bad("INTERNAL_PORT", "must be 1 to 65535")
	}
	if c.InternalPort != 0 && c.InternalPort == c.Port {
		bad("INTERNAL_PORT", "must differ from PORT, which is open to clients")
	}
	if c.PublicURL != "" && !isOrigin(c.PublicURL) {
		bad("PUBLIC_URL", "must be an origin such as https://api.example.com, in lower case, without a path and without the usual port")
	}
	if len(c.Roles) == 0 || slices.ContainsFunc(c.Roles, func(r string) bool { return r != "api" && r != "worker" }) {
		bad("ROLES", "must be api, worker or api,worker")
	}
	if c.DatabaseConns < 4 || c.DatabaseConns > 1000 {
		bad("DATABASE_MAX_CONNS", "must be 4 to 1000")
	}
	if c.WorkerSlots < 1 || c.WorkerSlots > 10_000 {
		bad("WORKER_SLOTS", "must be 1 to 10000")
	}
	if c.StreamsPerAccount < 1 || c.StreamsPerAccount > 20_000 {
		bad("STREAMS_PER_ACCOUNT", "must be 1 to 20000")
	}
	if c.RateLimitPerAddress.stricter(c.RateLimit) {
		bad("RATE_LIMIT_PER_ADDRESS", "must not be lower than RATE_LIMIT, which one caller may use up")
	}
	if c.SessionMaxAge < time.Hour {
		bad("SESSION_MAX_AGE", "must be at least 1h")
	}
	if c.SessionsPerAccount < 1 || c.SessionsPerAccount > 1000 {
		bad("SESSIONS_PER_ACCOUNT", "must be 1 to 1000")
	}
	if c.AdminTOTP != "required" && c.AdminTOTP != "optional" && c.AdminTOTP != "off" {
		bad("ADMIN_TOTP", "must be required, optional or off")
	}
	if c.APIKeyMaxAge != 0 && c.APIKeyMaxAge < time.Hour {
		bad("API_KEY_MAX_AGE", "must be at least 1h, such as 8760h for a year, or empty for no limit")
	}
	if c.BcryptCost < 4 || c.BcryptCost > 16 {
		bad("BCRYPT_COST", "must be 4 to 16")
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
	if c.AuditRetention != 0 && c.AuditRetention < minAuditRetention {
		bad("AUDIT_RETENTION", "must be at least 2160h, or empty to keep the audit trail forever")
	}
	problems = append(problems, c.checkPayments(providers)...)
	problems = append(problems, c.checkStepsSecret()...)
	problems = append(problems, c.checkMail()...)
	if err := new(slog.LevelVar).UnmarshalText([]byte(c.LogLevel)); err != nil {
		bad("LOG_LEVEL", "must be debug, info, warn or error")
	}
	if c.LogFormat != LogAuto && c.LogFormat != LogText && c.LogFormat != LogJSON {
		bad("LOG_FORMAT", "must be auto, text or json")
	}
	if c.AdminEmail != "" && c.AdminPassword == "" { // the other way round, the address is a flag of admin create
		bad("ADMIN_EMAIL", "needs ADMIN_PASSWORD as well")
	}
	if n := len(c.AdminPassword); n > 0 && (n < 8 || n > 72) {
		bad("ADMIN_PASSWORD", "must have 8 to 72 bytes")
	}
	problems = append(problems, checkScheme("REDIS_URL", c.RedisURL, "redis", "rediss", "unix")...)
	for i, o := range c.Origins {
		if !isOrigin(o) {
			bad("ALLOWED_ORIGINS", fmt.Sprintf("entry %d of %d is not an origin such as https://shop.example.com, as a browser sends it; there are no wildcards", i+1, len(c.Origins)))
		}
	}
	problems = append(problems, checkKeys("JWT_KEYS", c.JWTKeys)...)
	problems = append(problems, checkKeys("AUDIT_KEYS", c.AuditKeys)...)
	problems = append(problems, checkKeys("TOTP_KEYS", c.TOTPKeys)...)
	problems = append(problems, checkWebURL("OTEL_EXPORTER_OTLP_ENDPOINT", c.TracesURL, "; credentials go into OTEL_EXPORTER_OTLP_HEADERS")...)
	database, bads := c.database()
	problems = append(problems, bads...)
	if c.IsProduction() {
		problems = append(problems, c.checkProduction(database)...)
	}
	return problems
}

// database returns DATABASE_URL as parsed by the driver, or nil and the problems.
func (c *Config) database() (*pgconn.Config, []string) {
	if c.DatabaseURL == "" {
		return nil, nil
	}
	if problems := checkScheme("DATABASE_URL", c.DatabaseURL, "postgres", "postgresql"); problems != nil {
		return nil, problems
	}
	d, err := pgconn.ParseConfig(c.DatabaseURL.Reveal())
	if err != nil {
		return nil, []string{"DATABASE_URL: " + describeDatabase(c.DatabaseURL, err)}
	}
	return d, nil
}

// sslModes are the values of sslmode (PostgreSQL documentation, section 34.19.1).
var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// describeDatabase describes a URL that the driver does not accept. The error of the driver quotes
// parts of the URL, so only its type is used.
func describeDatabase(value Secret, err error) string {
	u, parseErr := url.Parse(value.Reveal())
	if parseErr == nil && u.Query().Has("sslmode") && !slices.Contains(sslModes, u.Query().Get("sslmode")) {
		return "sslmode must be " + strings.Join(sslModes[:len(sslModes)-1], ", ") + " or verify-full"
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return "a file of sslrootcert, sslcert, sslkey or passfile cannot be read" + unreadableReason(file)
	}
	return "cannot be read; it should look like postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full"
}

func (c *Config) checkPayments(providers []string) (problems []string) {
	switch {
	case c.PaymentProvider == "simulated", slices.Contains(providers, c.PaymentProvider):
	case c.PaymentProvider == "stripe":
		if c.StripeSecretKey == "" {
			problems = append(problems, "STRIPE_SECRET_KEY: must be set with PAYMENT_PROVIDER=stripe")
		}
	case c.PaymentProvider == "":
		problems = append(problems, "PAYMENT_PROVIDER: must be set in production: "+strings.Join(append([]string{"stripe"}, providers...), ", ")+", or simulated to move no money")
	default:
		problems = append(problems, "PAYMENT_PROVIDER: must be "+strings.Join(append([]string{"simulated"}, providers...), ", ")+" or stripe")
	}
	problems = append(problems, checkWebURL("PAYMENT_SIMULATOR_URL", c.SimulatorURL, "")...)
	problems = append(problems, checkWebURL("STRIPE_API_URL", c.StripeAPIURL, "")...)
	if c.CancelUntil != "shipped" && c.CancelUntil != "processing" {
		problems = append(problems, "CANCEL_UNTIL: must be shipped or processing")
	}
	if c.ReservationTTL < time.Minute {
		problems = append(problems, "RESERVATION_TTL: must be at least 1m")
	}
	return problems
}

// isOrigin accepts only the exact form that a browser sends. Any other form would never match, or
// would match several sites.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || s != u.Scheme+"://"+u.Host {
		return false
	}
	usual := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if n, err := strconv.Atoi(u.Port()); strings.HasSuffix(s, ":") || u.Port() != "" && (err != nil || n > 65535 || strconv.Itoa(n) != u.Port()) {
		return false
	}
	odd := func(r rune) bool { return r > unicode.MaxASCII || unicode.IsUpper(r) || strings.ContainsRune("*, ", r) }
	return u.Port() != usual && !strings.ContainsFunc(s, odd)
}

// checkScheme checks the form of a URL that may contain a password. If the password contains an
// unescaped / ? # or @, the rest of it becomes part of the host, path or query, and would be
// printed as such.
func checkScheme(name string, value Secret, allowed ...string) []string {
	if value == "" {
		return nil
	}
	start, _, _ := strings.Cut(value.Reveal(), "://")
	if !slices.Contains(allowed, start) {
		return []string{name + ": must be a URL that starts with " + allowed[0] + "://"}
	}
	u, err := url.Parse(value.Reveal())
	if err != nil || u.Fragment != "" || strings.Contains(u.Path, "@") || u.User == nil && strings.Contains(u.RawQuery, "@") {
		return []string{name + ": cannot be read; in a password, the characters / ? # @ and % are written %2F %3F %23 %40 and %25"}
	}
	return nil
}

// checkWebURL rejects URLs that contain a secret, because the errors of HTTP clients quote the URL.
func checkWebURL(name string, value Secret, hint string) []string {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value.Reveal())
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return []string{name + ": must be a URL such as http://localhost:12111, without user, password and query" + hint}
	}
	return nil
}

// minAuditRetention is audit.MinRetention.
const minAuditRetention = 90 * 24 * time.Hour

// checkKeys checks a list of keys in the form id=secret.
func checkKeys(name string, keys Secret) (problems []string) {
	if keys == "" {
		return nil
	}
	seen := map[string]bool{}
	for i, part := range strings.Split(keys.Reveal(), ",") {
		entry := fmt.Sprintf("%s: the secret of entry %d ", name, i+1) // without a separator, what looks like the id may be the secret
		kid, secret, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !ok || kid == "" || !utf8.ValidString(part):
			problems = append(problems, name+": must look like 2026-11=<secret>,2026-05=<older secret>")
		case seen[kid], seen["="+secret]:
			problems = append(problems, name+": every key needs an id and a secret of its own")
		case len(secret) < minSecret:
			problems = append(problems, fmt.Sprintf("%sis shorter than %d bytes", entry, minSecret))
		case weak(secret):
			problems = append(problems, entry+"is a default or can be guessed")
		}
		seen[kid], seen["="+secret] = true, true
	}
	return problems
}
