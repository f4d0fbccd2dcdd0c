package web

import (
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Host refuses requests for another host than that of publicURL with 421 (RFC 9110 section 15.5.20),
// and makes it the only origin of the server's own pages (Origins.Classify). Otherwise a page of any
// site whose name resolves to this server counts as one of its own (DNS rebinding, CWE-350). An
// empty publicURL allows every host.
//
// Place it inside Access and outside of every handler that uses the host. Probes, which come to an
// address, must be mounted before it.
func Host(publicURL string) fiber.Handler {
	u, err := url.Parse(publicURL)
	if err != nil || publicURL == "" {
		return func(c *fiber.Ctx) error { return c.Next() }
	}
	withPort := u.Host
	if u.Port() == "" {
		withPort += map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	}
	return func(c *fiber.Ctx) error {
		c.Locals(publicKey, publicURL)
		host := string(c.Request().Host())
		if strings.EqualFold(host, u.Host) || strings.EqualFold(host, withPort) {
			return c.Next()
		}
		return Fail(c, fault.New(fault.KindMisdirected, "wrong-host", "This server does not answer for that host."))
	}
}
