package web

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// Origins lists the sites whose pages may use the API from a browser, besides the server's own. An
// origin is written as a browser sends it: scheme, host in lower case, and the port unless it is
// the default of the scheme (RFC 6454 section 6.2).
//
// Origins are compared byte for byte. Browsers serialize an origin in exactly one way, and programs
// may interpret any other form differently. The opaque origin "null" is never listed.
type Origins []string

// Origin classifies the Origin header of a request.
type Origin int

// NoOrigin means a client that is not a browser, or a page that reads from its own server.
// OwnOrigin means this server (its PublicURL if there is one, otherwise the host of the request), ListedOrigin one of Origins, and ForeignOrigin everything else: an
// unlisted, malformed or repeated header.
const (
	NoOrigin Origin = iota
	OwnOrigin
	ListedOrigin
	ForeignOrigin
)

// Classify classifies the origin of the page that sent the request. Sockets and CORS both use it.
func (o Origins) Classify(c *fiber.Ctx) Origin {
	switch sent := c.Request().Header.PeekAll(fiber.HeaderOrigin); len(sent) {
	case 0:
		return NoOrigin
	case 1:
		origin := string(sent[0])
		if slices.Contains(o, origin) {
			return ListedOrigin
		}
		if public, ok := c.Locals(publicKey).(string); ok {
			if origin == public {
				return OwnOrigin
			}
			return ForeignOrigin
		}
		if isOwn(origin, string(c.Request().Host())) {
			return OwnOrigin
		}
	}
	return ForeignOrigin
}

// isOwn accepts both schemes, because a proxy may have terminated TLS.
func isOwn(origin, host string) bool {
	if host == "" || strings.ContainsAny(host, "/@?#\\") { // not a host, even if the parser accepts it
		return false
	}
	return strings.EqualFold(origin, "https://"+host) || strings.EqualFold(origin, "http://"+host)
}
