package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// checkProduction rejects settings that would otherwise cause damage only later (SPEC F7, ASVS 5.0
// 13.3).
func (c *Config) checkProduction(database *pgconn.Config) (problems []string) {
	problems = append(problems, c.checkSecrets(database)...)
	problems = append(problems, c.checkPlaintext(database)...)
	if u, err := url.Parse(c.PublicURL); err == nil && u.Scheme == "http" && !isLocal(u.Hostname()) {
		problems = append(problems, "PUBLIC_URL: must begin with https:// in production")
	}
	if u, err := url.Parse(c.MailLinkURL); err == nil && u.Scheme == "http" && !isLocal(u.Hostname()) {
		problems = append(problems, "MAIL_LINK_URL: must begin with https:// in production")
	}
	if c.BcryptCost < 10 {
		problems = append(problems, "BCRYPT_COST: must be 10 or more in production")
	}
	if c.TrustedProxies.isTooWide() {
		problems = append(problems, "TRUSTED_PROXIES: trusts more than a /8 of public addresses, or a /20 of IPv6; name your own proxies")
	}
	if c.WebhookNetworks.isTooWide() {
		problems = append(problems, "WEBHOOK_ALLOWED_NETWORKS: opens more than a /8 of public addresses, or a /20 of IPv6; name the receivers' networks")
	}
	if slices.ContainsFunc(c.WebhookNetworks, opensMetadata) {
		problems = append(problems, "WEBHOOK_ALLOWED_NETWORKS: opens the metadata service of the cloud, which gives out credentials")
	}
	if c.PaymentProvider == "simulated" && !c.AllowSimulated {
		problems = append(problems, "ALLOW_SIMULATED_PAYMENTS: must be on for PAYMENT_PROVIDER=simulated in production, which moves no money")
	}
	return problems
}

// checkPlaintext refuses to send passwords, orders and the keys of limits unencrypted over a
// network (ASVS 5.0 12.3.3). PLAINTEXT_HOSTS lists the hosts in private networks, such as the one
// of docker compose, which cannot be told apart from here.
func (c *Config) checkPlaintext(database *pgconn.Config) (problems []string) {
	bad := func(name, host, instead string) {
		if !isLocal(host) && !slices.Contains(c.PlaintextHosts, host) {
			problems = append(problems, name+": its host, or one of them, may be reached without TLS; "+instead+
				", or list the host in PLAINTEXT_HOSTS if the network is private")
		}
	}
	for _, host := range plaintextHosts(database) {
		bad("DATABASE_URL", host, "add sslmode=verify-full")
	}
	if u, err := url.Parse(c.RedisURL.Reveal()); err == nil && u.Scheme == "redis" {
		bad("REDIS_URL", u.Hostname(), "use rediss://")
	}
	for name, value := range map[string]Secret{"STRIPE_API_URL": c.StripeAPIURL, "PAYMENT_SIMULATOR_URL": c.SimulatorURL} {
		if u, err := url.Parse(value.Reveal()); err == nil && u.Scheme == "http" {
			bad(name, u.Hostname(), "use https://")
		}
	}
	for _, host := range c.Steps.plaintextHosts() {
		bad("STEPS_BEFORE_PAYMENT", host, "use https://")
	}
	return problems
}

// plaintextHosts returns the hosts to which the driver would connect without TLS: always with
// sslmode=disable, and before or after an attempt with TLS with allow and prefer, which is the
// default. It uses the parsed configuration of the driver, because a URL can express this in a
// dozen ways.
func plaintextHosts(d *pgconn.Config) (hosts []string) {
	if d == nil {
		return nil
	}
	tries := append([]*pgconn.FallbackConfig{{Host: d.Host, TLSConfig: d.TLSConfig}}, d.Fallbacks...)
	for _, t := range tries {
		if t.TLSConfig == nil && !slices.Contains(hosts, t.Host) {
			hosts = append(hosts, t.Host)
		}
	}
	return hosts
}

// isLocal reports whether host is this machine: the folder of a socket, or loopback.
func isLocal(host string) bool {
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Warnings describes settings with which production starts, but which are safe only in a few
// deployments. Like the errors of Load they name variables and quote no value.
func (c *Config) Warnings() (warnings []string) {
	if !c.IsProduction() {
		return nil
	}
	if c.RateLimit.Count == 0 {
		warnings = append(warnings, "RATE_LIMIT: is off; nothing bounds the requests of a caller")
	}
	if c.OrderRateLimit.Count == 0 {
		warnings = append(warnings, "ORDER_RATE_LIMIT: is off; one account can place orders faster than they are processed")
	}
	if c.LoginRateLimit.Count == 0 {
		warnings = append(warnings, "LOGIN_RATE_LIMIT: is off; passwords can be guessed without a limit")
	}
	if u, err := url.Parse(c.RedisURL.Reveal()); err == nil && u.Scheme != "unix" && c.redisPassword() == "" && !isLocal(u.Hostname()) {
		warnings = append(warnings, "REDIS_URL: has no password; every client that can connect to it can reset the limits of log-ins")
	}
	return warnings
}
