// Package config reads the environment once, at the start, into one struct.
//
// Everything wrong is reported together and by the name of its variable, before
// anything starts (SPEC F2, F7). An error names variables, files and lines, and counts
// entries; it never holds a value or a part of one. Secrets print as ***.
package config

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// The two values of APP_ENV.
const (
	Development = "development"
	Production  = "production"
)

// Config is the whole configuration. .env.example explains every variable.
type Config struct {
	Env     string   `env:"APP_ENV" envDefault:"development"`
	Host    string   `env:"HOST"` // Development: 127.0.0.1, Production: 0.0.0.0
	Port    int      `env:"PORT" envDefault:"3000"`
	DataDir string   `env:"DATA_DIR" envDefault:".orderflow"`
	Roles   []string `env:"ROLES" envDefault:"api,worker"`

	DatabaseURL   Secret `env:"DATABASE_URL"`
	DatabaseConns int    `env:"DATABASE_MAX_CONNS" envDefault:"20"`
	RedisURL      Secret `env:"REDIS_URL"`
	WorkerSlots   int    `env:"WORKER_SLOTS" envDefault:"500"`

	JWTKeys    Secret `env:"JWT_KEYS"`
	Issuer     string `env:"JWT_ISSUER" envDefault:"orderflow"`
	Audience   string `env:"JWT_AUDIENCE" envDefault:"orderflow"`
	BcryptCost int    `env:"BCRYPT_COST"` // Development: 10, Production: 12

	AdminEmail    string `env:"ADMIN_EMAIL"`
	AdminPassword Secret `env:"ADMIN_PASSWORD"`

	RateLimit             Limit    `env:"RATE_LIMIT" envDefault:"200/1s"`
	LoginRateLimit        Limit    `env:"LOGIN_RATE_LIMIT" envDefault:"10/1m"`
	RegistrationRateLimit *Limit   `env:"REGISTRATION_RATE_LIMIT"` // Development: off, Production: 30/1m
	StreamsPerAccount     int      `env:"STREAMS_PER_ACCOUNT" envDefault:"50"`
	TrustedProxies        Networks `env:"TRUSTED_PROXIES"`
	Origins               []string `env:"ALLOWED_ORIGINS"`
	PlaintextHosts        []string `env:"PLAINTEXT_HOSTS"`

	PaymentProvider string        `env:"PAYMENT_PROVIDER"` // Development: simulated
	SimulatorURL    Secret        `env:"PAYMENT_SIMULATOR_URL"`
	StripeSecretKey Secret        `env:"STRIPE_SECRET_KEY"`
	StripeAPIURL    Secret        `env:"STRIPE_API_URL"`
	ReservationTTL  time.Duration `env:"RESERVATION_TTL" envDefault:"30m"`

	WebhookNetworks Networks `env:"WEBHOOK_ALLOWED_NETWORKS"`

	EventRetention        time.Duration `env:"EVENT_RETENTION" envDefault:"168h"`
	NotificationRetention time.Duration `env:"NOTIFICATION_RETENTION" envDefault:"2160h"`
	WebhookRetention      time.Duration `env:"WEBHOOK_RETENTION" envDefault:"720h"`
	LogLevel              string        `env:"LOG_LEVEL" envDefault:"info"`
	TracesURL             Secret        `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
}

// IsProduction is true when nothing may be made up.
func (c *Config) IsProduction() bool { return c.Env == Production }

// Has tells whether this process has a role.
func (c *Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// Secret is a value that must not be printed, such as a password or a URL that may hold
// one.
type Secret string

// Format hides the value from every verb, %d and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides it from %#v as well.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides it from logs and documents.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal is the value itself.
func (s Secret) Reveal() string { return string(s) }

// UnmarshalText takes the value.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// Load reads .env, where there is one, and the environment, which wins. The
// error lists every problem, one a line. PAYMENT_PROVIDER may also name one of the
// providers, which are those that a program adds to the product's own.
func Load(providers ...string) (*Config, error) {
	if err := loadDotenv(".env"); err != nil {
		return nil, err
	}
	return from(env.ToMap(os.Environ()), providers...)
}

func from(environment map[string]string, providers ...string) (*Config, error) {
	for name, value := range environment {
		if strings.TrimSpace(value) == "" {
			delete(environment, name) // an empty variable is one that is not set
		}
	}

	var c Config
	problems := parse(&c, environment)
	c.fill()
	for _, p := range c.check(providers) {
		name, _, _ := strings.Cut(p, ":")
		if !slices.ContainsFunc(problems, func(said string) bool { return strings.HasPrefix(said, name+":") }) {
			problems = append(problems, p) // what could not be read is zero, and is not checked again
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return nil, errors.New("configuration:\n  " + strings.Join(slices.Compact(problems), "\n  "))
	}
	return &c, nil
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
		problems = append(problems, field.Tag.Get("env")+": "+unreadable(field.Type, bad.Err))
	}
	return problems
}

// unreadable says what is wrong with a value. Only the types of this package are
// trusted not to quote it; strconv and time do.
func unreadable(t reflect.Type, err error) string {
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

// valueError says what is wrong with a value, without the value.
type valueError string

func (e valueError) Error() string { return string(e) }

// fill chooses the defaults that depend on the environment.
func (c *Config) fill() {
	if c.Host == "" {
		c.Host = "127.0.0.1"
		if c.IsProduction() {
			c.Host = "0.0.0.0"
		}
	}
	if c.BcryptCost == 0 {
		c.BcryptCost = 10
		if c.IsProduction() {
			c.BcryptCost = 12
		}
	}
	if c.RegistrationRateLimit == nil {
		c.RegistrationRateLimit = &Limit{}
		if c.IsProduction() {
			c.RegistrationRateLimit = &Limit{Count: 30, Period: time.Minute}
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

// Describe lists the settings for a log line at the start, without secrets.
func (c *Config) Describe() string {
	return fmt.Sprintf("env=%s host=%s port=%d roles=%s database=%s redis=%s go=%s",
		c.Env, c.Host, c.Port, strings.Join(c.Roles, ","), where(c.DatabaseURL), where(c.RedisURL), runtime.Version())
}

func where(s Secret) string {
	if s == "" {
		return "private"
	}
	u, err := url.Parse(s.Reveal())
	if err != nil || u.Host == "" {
		return "configured"
	}
	return u.Host
}
