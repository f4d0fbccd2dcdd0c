package notifications

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// originAllowed keeps foreign pages from opening sockets with somebody's
// credentials (SPEC E2, ASVS 5.0 4.4.2). Clients that are not browsers send no
// Origin. What is compared is the text: a browser writes an origin in one way only,
// and whatever has to be interpreted first, somebody will interpret otherwise.
func (m *Module) originAllowed(c *fiber.Ctx) bool {
	switch sent := c.Request().Header.PeekAll(fiber.HeaderOrigin); len(sent) {
	case 0:
		return true
	case 1:
		origin := string(sent[0])
		return slices.Contains(m.Origins, origin) || isOwn(origin, string(c.Request().Host()))
	default:
		return false
	}
}

// isOwn accepts both schemes: a proxy may have taken TLS off.
func isOwn(origin, host string) bool {
	if host == "" || strings.ContainsAny(host, "/@?#\\") { // no host, whatever the parser let through
		return false
	}
	return strings.EqualFold(origin, "https://"+host) || strings.EqualFold(origin, "http://"+host)
}
