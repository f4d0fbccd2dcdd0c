package config

import (
	"net/url"

	"github.com/jackc/pgx/v5/pgconn"
)

// DatabaseHost returns the host of DATABASE_URL, or the first of several, and "private" if it is not
// set. It contains no secret and may be logged.
func (c *Config) DatabaseHost() string {
	if c.DatabaseURL == "" {
		return "private"
	}
	d, err := pgconn.ParseConfig(c.DatabaseURL.Reveal())
	if err != nil {
		return "configured"
	}
	return d.Host
}

// RedisHost returns the host of REDIS_URL, and "private" if it is not set.
func (c *Config) RedisHost() string {
	if c.RedisURL == "" {
		return "private"
	}
	u, err := url.Parse(c.RedisURL.Reveal())
	switch {
	case err != nil:
		return "configured"
	case u.Scheme == "unix":
		return "a local socket"
	}
	return u.Host
}

// maskURL hides everything of a URL but its host.
func maskURL(s Secret) string {
	u, err := url.Parse(s.Reveal())
	if s == "" || err != nil || u.Host == "" {
		return s.String()
	}
	return s.String() + "@" + u.Host
}
