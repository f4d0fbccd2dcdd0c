package config

import (
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

const minPassword = 12 // bytes, for a password that programs use

// published lists parts of the secrets in documentation and examples, which production rejects.
var published = []string{"changeme", "secret", "password", "example", "your-", "replace", "admin"}

// weak reports whether a secret was copied from an example or typed with a simple pattern.
func weak(secret string) bool {
	lower := strings.ToLower(secret)
	if slices.ContainsFunc(published, func(p string) bool { return strings.Contains(lower, p) }) {
		return true
	}
	distinct := map[rune]bool{}
	for _, r := range secret {
		distinct[r] = true
	}
	return len(distinct) < 8 || repeats(secret) || inOrder(secret)
}

// repeats reports whether s is a shorter string repeated: "0123456789" four times adds no strength.
func repeats(s string) bool { return s != "" && strings.Index((s + s)[1:], s)+1 < len(s) }

// inOrder reports whether most characters equal the one before or are its neighbour.
func inOrder(s string) bool {
	near := 0
	for i := 1; i < len(s); i++ {
		if d := int(s[i]) - int(s[i-1]); d >= -1 && d <= 1 {
			near++
		}
	}
	return near > len(s)/2
}

// checkSecrets requires the secrets that development generates (SPEC F7).
func (c *Config) checkSecrets(database *pgconn.Config) (problems []string) {
	for name, value := range map[string]Secret{"DATABASE_URL": c.DatabaseURL, "REDIS_URL": c.RedisURL, "JWT_KEYS": c.JWTKeys} {
		if value == "" {
			problems = append(problems, name+": must be set in production")
		}
	}
	if c.TOTPKeys == "" && c.AdminTOTP == "required" {
		problems = append(problems, "TOTP_KEYS: must be set in production with ADMIN_TOTP=required; otherwise no administrator can set up a second factor")
	}
	if c.AdminPassword != "" && (len(c.AdminPassword) < minPassword || weak(c.AdminPassword.Reveal())) {
		problems = append(problems, "ADMIN_PASSWORD: is a default, can be guessed or has fewer than 12 bytes")
	}
	if k := c.StripeSecretKey.Reveal(); k != "" && (len(k) < 20 || !strings.HasPrefix(k, "sk_") && !strings.HasPrefix(k, "rk_")) {
		problems = append(problems, "STRIPE_SECRET_KEY: is not one of Stripe's keys, which begin with sk_ or rk_")
	}
	if c.StepsSecret != "" && weak(c.stepsSecret()) {
		problems = append(problems, "STEPS_SECRET: is a default or can be guessed")
	}
	if database != nil {
		problems = append(problems, checkDatabasePassword(database)...)
	}
	if p := c.redisPassword(); p != "" && (len(p) < minPassword || weak(p)) {
		problems = append(problems, "REDIS_URL: its password is a default, can be guessed or has fewer than 12 bytes")
	}
	if p := c.smtpPassword(); p != "" && (len(p) < minPassword || weak(p)) {
		problems = append(problems, "SMTP_URL: its password is a default, can be guessed or has fewer than 12 bytes")
	}
	return append(problems, c.checkEqual(database)...)
}

// checkDatabasePassword accepts a client certificate or a local socket instead of a password.
func checkDatabasePassword(d *pgconn.Config) []string {
	certificate := d.TLSConfig != nil && (len(d.TLSConfig.Certificates) > 0 || d.TLSConfig.GetClientCertificate != nil)
	switch p := d.Password; {
	case p == "" && !certificate && !isLocal(d.Host):
		return []string{"DATABASE_URL: has no password"}
	case p != "" && (len(p) < minPassword || weak(p) || p == d.User || p == d.Database):
		return []string{"DATABASE_URL: its password is a default, can be guessed or has fewer than 12 bytes"}
	}
	return nil
}

// checkEqual rejects equal secrets, so that one leaked secret does not reveal another.
func (c *Config) checkEqual(database *pgconn.Config) (problems []string) {
	type named struct{ name, secret string }
	list := []named{
		{"ADMIN_PASSWORD", c.AdminPassword.Reveal()}, {"REDIS_URL", c.redisPassword()}, {"STRIPE_SECRET_KEY", c.StripeSecretKey.Reveal()},
		{"STEPS_SECRET", c.stepsSecret()}, {"SMTP_URL", c.smtpPassword()},
	}
	if database != nil {
		list = append(list, named{"DATABASE_URL", database.Password})
	}
	for name, keys := range map[string]Secret{"JWT_KEYS": c.JWTKeys, "AUDIT_KEYS": c.AuditKeys, "TOTP_KEYS": c.TOTPKeys} {
		for part := range strings.SplitSeq(keys.Reveal(), ",") {
			_, secret, _ := strings.Cut(strings.TrimSpace(part), "=")
			list = append(list, named{name, secret})
		}
	}
	for _, a := range list {
		for _, b := range list {
			if a.secret != "" && a.secret == b.secret && a.name != b.name { // equal JWT_KEYS are reported elsewhere
				problems = append(problems, a.name+": holds the same secret as "+b.name+"; every one needs its own")
			}
		}
	}
	return problems
}

// stepsSecret is the secret without the prefix that all of them have.
func (c *Config) stepsSecret() string {
	return strings.TrimPrefix(c.StepsSecret.Reveal(), stepsSecretPrefix)
}

func (c *Config) redisPassword() string {
	u, err := url.Parse(c.RedisURL.Reveal())
	if err != nil || u.User == nil {
		return ""
	}
	p, _ := u.User.Password()
	return p
}
