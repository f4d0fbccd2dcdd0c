// Package config reads the environment once, at start-up, into one struct.
//
// It reports all problems together, by the names of the variables, before anything starts (SPEC F2,
// F7). An error names variables, files and lines, and counts entries. It never contains a value or
// a part of one. Secrets are printed as ***.
package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// The values of APP_ENV.
const (
	Development = "development"
	Production  = "production"
)

// The values of LOG_FORMAT. LogAuto is LogText on a terminal in development, and LogJSON otherwise.
const (
	LogAuto = "auto"
	LogText = "text"
	LogJSON = "json"
)

// The values of REGISTRATION.
const (
	RegistrationOpen   = "open"
	RegistrationInvite = "invite"
	RegistrationOff    = "off"
)

// The values of EMAIL_VERIFICATION.
const (
	VerificationRequired = "required"
	VerificationOff      = "off"
)

// Config is the whole configuration. The file .env.example explains every variable.
type Config struct {
	Env  string `env:"APP_ENV" envDefault:"development"`
	Host string `env:"HOST"` // Development: 127.0.0.1, Production: 0.0.0.0
	Port int    `env:"PORT" envDefault:"3000"`

	// PublicURL is the origin at which clients reach the API, such as https://api.example.com.
	PublicURL string `env:"PUBLIC_URL"`

	// Probes and metrics have a port of their own unless InternalPort is 0.
	InternalHost string `env:"INTERNAL_HOST"` // default 127.0.0.1
	InternalPort int    `env:"INTERNAL_PORT"` // Development: none, Production: 9090

	DataDir string   `env:"DATA_DIR" envDefault:".orderflow"`
	Roles   []string `env:"ROLES" envDefault:"api,worker"`

	DatabaseURL   Secret `env:"DATABASE_URL"`
	DatabaseConns int    `env:"DATABASE_MAX_CONNS" envDefault:"20"`
	RuntimeRole   string `env:"DATABASE_RUNTIME_ROLE"`
	RedisURL      Secret `env:"REDIS_URL"`
	WorkerSlots   int    `env:"WORKER_SLOTS" envDefault:"500"`

	JWTKeys    Secret `env:"JWT_KEYS"`
	Issuer     string `env:"JWT_ISSUER" envDefault:"orderflow"`
	Audience   string `env:"JWT_AUDIENCE" envDefault:"orderflow"`
	BcryptCost int    `env:"BCRYPT_COST"` // Development: 10, Production: 12

	SessionMaxAge      time.Duration `env:"SESSION_MAX_AGE" envDefault:"2160h"`
	SessionsPerAccount int           `env:"SESSIONS_PER_ACCOUNT" envDefault:"50"`
	APIKeyMaxAge       time.Duration `env:"API_KEY_MAX_AGE"` // zero: no limit

	// AdminTOTP is required, optional or off.
	AdminTOTP string `env:"ADMIN_TOTP" envDefault:"optional"`
	TOTPKeys  Secret `env:"TOTP_KEYS"`

	AdminEmail    string `env:"ADMIN_EMAIL"`
	AdminPassword Secret `env:"ADMIN_PASSWORD"`

	// Registration is who may register: RegistrationOpen, RegistrationInvite or RegistrationOff.
	Registration string `env:"REGISTRATION" envDefault:"open"`

	SMTPURL           Secret `env:"SMTP_URL"`
	MailFrom          string `env:"MAIL_FROM"`
	MailLinkURL       string `env:"MAIL_LINK_URL"`
	EmailVerification string `env:"EMAIL_VERIFICATION"` // required with SMTP_URL, otherwise off

	RateLimit             Limit    `env:"RATE_LIMIT" envDefault:"200/1s"`
	RateLimitPerAddress   *Limit   `env:"RATE_LIMIT_PER_ADDRESS"` // default five times RateLimit
	OrderRateLimit        Limit    `env:"ORDER_RATE_LIMIT" envDefault:"1000/1s"`
	LoginRateLimit        Limit    `env:"LOGIN_RATE_LIMIT" envDefault:"10/1m"`
	RegistrationRateLimit *Limit   `env:"REGISTRATION_RATE_LIMIT"` // Development: off, Production: 30/1m
	StreamsPerAccount     int      `env:"STREAMS_PER_ACCOUNT" envDefault:"50"`
	TrustedProxies        Networks `env:"TRUSTED_PROXIES"`
	TrustedTraces         Switch   `env:"TRUSTED_TRACES" envDefault:"off"`
	Origins               []string `env:"ALLOWED_ORIGINS"`
	Compression           Switch   `env:"COMPRESSION" envDefault:"on"`
	Pages                 *Switch  `env:"PAGES"` // Development: on, Production: off
	PlaintextHosts        []string `env:"PLAINTEXT_HOSTS"`

	PaymentProvider string        `env:"PAYMENT_PROVIDER"` // Development: simulated
	AllowSimulated  Switch        `env:"ALLOW_SIMULATED_PAYMENTS" envDefault:"off"`
	TestTokens      *Switch       `env:"PAYMENT_TEST_TOKENS"` // Development: on, Production: off
	SimulatorURL    Secret        `env:"PAYMENT_SIMULATOR_URL"`
	StripeSecretKey Secret        `env:"STRIPE_SECRET_KEY"`
	StripeAPIURL    Secret        `env:"STRIPE_API_URL"`
	CancelUntil     string        `env:"CANCEL_UNTIL" envDefault:"shipped"` // owners cancel orders until they are shipped, or only until processing begins
	ReservationTTL  time.Duration `env:"RESERVATION_TTL" envDefault:"30m"`

	Steps       Steps  `env:"STEPS_BEFORE_PAYMENT"`
	StepsSecret Secret `env:"STEPS_SECRET"`

	WebhookNetworks Networks `env:"WEBHOOK_ALLOWED_NETWORKS"`
	WebhookPorts    []uint16 `env:"WEBHOOK_ALLOWED_PORTS"` // Development: any, Production: 443

	EventRetention        time.Duration `env:"EVENT_RETENTION" envDefault:"168h"`
	NotificationRetention time.Duration `env:"NOTIFICATION_RETENTION" envDefault:"2160h"`
	WebhookRetention      time.Duration `env:"WEBHOOK_RETENTION" envDefault:"720h"`
	AuditRetention        time.Duration `env:"AUDIT_RETENTION"` // zero: forever
	AuditKeys             Secret        `env:"AUDIT_KEYS"`
	LogLevel              string        `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat             string        `env:"LOG_FORMAT" envDefault:"auto"`
	TracesURL             Secret        `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
}

// IsProduction reports whether the process runs in production, where no default secret is allowed.
func (c *Config) IsProduction() bool { return c.Env == Production }

// AcceptsTestTokens reports whether the simulated provider takes test tokens and amounts, with which
// a customer can simulate an outage of the provider.
func (c *Config) AcceptsTestTokens() bool {
	return c.inDevelopment(c.TestTokens)
}

// ServesPages reports whether the server has pages for a browser: /, /try, /docs and the descriptions of
// the API.
func (c *Config) ServesPages() bool {
	return c.inDevelopment(c.Pages)
}

// inDevelopment returns a switch that is on in development and off in production unless it is set.
func (c *Config) inDevelopment(s *Switch) bool {
	if s == nil {
		return !c.IsProduction()
	}
	return bool(*s)
}

// Switch is a setting that is written on or off.
type Switch bool

// UnmarshalText parses on or off.
func (s *Switch) UnmarshalText(text []byte) error {
	switch strings.TrimSpace(string(text)) {
	case "on":
		*s = true
	case "off":
		*s = false
	default:
		return valueError("must be on or off")
	}
	return nil
}

// Has reports whether this process has the role.
func (c *Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// Secret is a value that must not be printed, such as a password or a URL that may contain one.
type Secret string

// Format hides the value for every verb, including %d and %x.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String returns *** for a value that is set.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the value for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value in logs and documents.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// UnmarshalText sets the value.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// Load is Read for callers that need nothing but valid settings. Its error lists all problems, one
// per line.
func Load(providers ...string) (*Config, error) {
	report := Read(providers...)
	return report.Config, report.Err()
}

func from(environment map[string]string, providers ...string) (*Config, error) {
	report := read(environment, nil, providers)
	return report.Config, report.Err()
}

// validate parses and checks the variables. It returns all problems, sorted.
func (c *Config) validate(environment map[string]string, providers []string) []string {
	problems := readSecretFiles(environment)
	problems = append(problems, parse(c, environment)...)
	c.setDefaults()
	for _, p := range c.check(providers) {
		name, _, _ := strings.Cut(p, ":")
		if !slices.ContainsFunc(problems, func(said string) bool { return strings.HasPrefix(said, name+":") }) {
			problems = append(problems, p) // the value is zero now and must not be checked again
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

func parse(c *Config, environment map[string]string) (problems []string) {
	err := env.ParseWithOptions(c, env.Options{Environment: environment})
	if err == nil {
		return nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return []string{"the environment cannot be read"}
	}
	for _, err := range all.Errors {
		bad, ok := errors.AsType[env.ParseError](err)
		field, known := reflect.TypeFor[Config]().FieldByName(bad.Name)
		if !ok || !known {
			problems = append(problems, "a variable cannot be read")
			continue
		}
		problems = append(problems, field.Tag.Get("env")+": "+describeInvalid(field.Type, bad.Err))
	}
	return problems
}

// describeInvalid describes an invalid value. It uses only the errors of this package, which never quote
// the value; those of strconv and time do.
func describeInvalid(t reflect.Type, err error) string {
	if ours, ok := errors.AsType[valueError](err); ok {
		return string(ours)
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "is not a duration such as 30m or 168h"
	case reflect.TypeFor[int]():
		return "is not a whole number"
	}
	return "cannot be read"
}

// valueError describes an invalid value without quoting it.
type valueError string

func (e valueError) Error() string { return string(e) }

// callersPerAddress is the number of callers behind one network address that can use their whole
// limits at once, unless RATE_LIMIT_PER_ADDRESS is set.
const callersPerAddress = 5

// setDefaults sets the defaults that depend on the environment.
func (c *Config) setDefaults() {
	if c.Host == "" {
		c.Host = "127.0.0.1"
		if c.IsProduction() {
			c.Host = "0.0.0.0"
		}
	}
	if c.InternalHost == "" {
		c.InternalHost = "127.0.0.1"
	}
	if c.InternalPort == 0 && c.IsProduction() {
		c.InternalPort = 9090
	}
	if c.IsProduction() && len(c.WebhookPorts) == 0 {
		c.WebhookPorts = []uint16{443}
	}
	if c.BcryptCost == 0 {
		c.BcryptCost = 10
		if c.IsProduction() {
			c.BcryptCost = 12
		}
	}
	if c.RateLimitPerAddress == nil {
		c.RateLimitPerAddress = &Limit{Count: callersPerAddress * c.RateLimit.Count, Period: c.RateLimit.Period}
	}
	if c.RegistrationRateLimit == nil {
		c.RegistrationRateLimit = &Limit{}
		if c.IsProduction() {
			c.RegistrationRateLimit = &Limit{Count: 30, Period: time.Minute}
		}
	}
	if c.EmailVerification == "" {
		c.EmailVerification = VerificationOff
		if c.SMTPURL != "" {
			c.EmailVerification = VerificationRequired
		}
	}
	if c.PaymentProvider == "" && !c.IsProduction() {
		c.PaymentProvider = "simulated"
	}
	for _, list := range [][]string{c.Roles, c.Origins, c.PlaintextHosts} {
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
	}
}
