package web

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// Origins are the sites whose pages may use the API from a browser, besides the
// server's own. Each is written as a browser sends it: scheme, host in lower case,
// and the port unless it is the default of the scheme (RFC 6454 section 6.2).
//
// Origins are compared letter by letter. A browser serializes an origin in one way
// only, and an origin that has to be interpreted first is one that two programs may
// interpret differently. The opaque origin "null" is never listed.
type Origins []string

// Origin is the result of judging the Origin header of a request.
type Origin int

// NoOrigin is a client that is not a browser, or a page that reads from its own
// server. OwnOrigin is the server itself, ListedOrigin one of Origins, and
// ForeignOrigin everything else: an unlisted or malformed one, or more than one.
const (
	NoOrigin Origin = iota
	OwnOrigin
	ListedOrigin
	ForeignOrigin
)

// Judge tells where the page that sends the request comes from. Sockets and CORS
// both ask it.
func (o Origins) Judge(c *fiber.Ctx) Origin {
	switch sent := c.Request().Header.PeekAll(fiber.HeaderOrigin); len(sent) {
	case 0:
		return NoOrigin
	case 1:
		origin := string(sent[0])
		if slices.Contains(o, origin) {
			return ListedOrigin
		}
		if isOwn(origin, string(c.Request().Host())) {
			return OwnOrigin
		}
	}
	return ForeignOrigin
}

// isOwn accepts both schemes: a proxy may have terminated TLS.
func isOwn(origin, host string) bool {
	if host == "" || strings.ContainsAny(host, "/@?#\\") { // no host, whatever the parser let through
		return false
	}
	return strings.EqualFold(origin, "https://"+host) || strings.EqualFold(origin, "http://"+host)
}
