package web

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// What pages of other origins may send and read, beyond what the Fetch standard
// always lets them. TestCORSCoversTheDocument compares both with the OpenAPI
// document.
const (
	corsRequestHeaders = "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, " +
		"Last-Event-ID, X-Request-ID, traceparent, tracestate, baggage"
	corsResponseHeaders = "Allow, Content-Disposition, Content-Length, ETag, Idempotency-Replayed, Link, Location, RateLimit, " +
		"RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-ID"
	// Seconds for which a browser need not ask again; two hours are the most that
	// Chromium honours. An origin that is taken off the list can send requests for
	// that long, but no longer read a response.
	corsMaxAge = "7200"
)

// CORS lets pages of the listed origins read every response (SPEC E2), errors and
// streams included. It belongs outermost, before everything that may answer;
// Options.Origins does the same for what fasthttp refuses by itself. Preflights are
// answered by Preflight.
//
// Cookies are not used, so Access-Control-Allow-Credentials is never sent. An origin
// that is not listed gets no CORS header.
//
// This is not Fiber's cors middleware, as that answers OPTIONS of unknown paths,
// names the same methods for every path, compares origins after lowering their case,
// and sends its Allow headers to every origin.
func CORS(origins Origins) fiber.Handler {
	return func(c *fiber.Ctx) error {
		origins.expose(c)
		return c.Next()
	}
}

// expose sets the CORS headers of a response. It may be called more than once.
func (o Origins) expose(c *fiber.Ctx) {
	if len(o) == 0 {
		return // no response depends on the origin
	}
	c.Vary(fiber.HeaderOrigin)
	if o.Judge(c) == ListedOrigin {
		c.Set(fiber.HeaderAccessControlAllowOrigin, c.Get(fiber.HeaderOrigin))
		c.Set(fiber.HeaderAccessControlExposeHeaders, corsResponseHeaders)
	}
}

// Preflight answers OPTIONS with 204 and the methods of the path in Allow (RFC 9110
// section 9.3.7), and to a CORS preflight of a listed origin that its request may
// follow. It belongs inside Access and Headers, and before credentials, which a
// preflight does not carry.
//
// No limit counts these requests: the answer comes from a table in memory and costs
// less than a refusal would, and a browser reports a refused preflight as a network
// failure, without the Retry-After. Unknown paths go on to the limiter and are 404.
func Preflight(app *fiber.App, origins Origins) fiber.Handler {
	table := newMethodTable(app)
	return func(c *fiber.Ctx) error {
		if c.Method() != http.MethodOptions {
			return c.Next()
		}
		pattern, methods := table.find(c.Path())
		if len(methods) == 0 {
			return c.Next()
		}
		c.Locals(patternKey, pattern)
		allowed := strings.Join(append(methods, http.MethodOptions), ", ")
		c.Set(fiber.HeaderAllow, allowed)
		if c.Get(fiber.HeaderAccessControlRequestMethod) != "" && origins.Judge(c) == ListedOrigin {
			c.Vary(fiber.HeaderAccessControlRequestMethod, fiber.HeaderAccessControlRequestHeaders)
			c.Set(fiber.HeaderAccessControlAllowMethods, allowed)
			c.Set(fiber.HeaderAccessControlAllowHeaders, corsRequestHeaders)
			c.Set(fiber.HeaderAccessControlMaxAge, corsMaxAge)
			c.Response().Header.Del(fiber.HeaderAccessControlExposeHeaders)
		}
		return c.SendStatus(http.StatusNoContent)
	}
}
