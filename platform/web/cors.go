package web

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// The headers that pages of other origins may send and read, besides those that the Fetch standard
// always allows. TestCORSCoversTheDocument compares both with the OpenAPI document.
const (
	corsRequestHeaders = "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, " +
		"Last-Event-ID, X-Request-ID, traceparent, tracestate, baggage"
	corsResponseHeaders = "Allow, Content-Disposition, Content-Length, ETag, Idempotency-Replayed, Link, Location, RateLimit, " +
		"RateLimit-Policy, Retry-After, WWW-Authenticate, X-Client-Request-ID, X-Request-ID"
	// The number of seconds for which a browser caches a preflight; two hours are the maximum in
	// Chromium. After its removal from the list an origin can send requests for that long, but
	// cannot read responses.
	corsMaxAge = "7200"
)

// CORS allows pages of the listed origins to read every response (SPEC E2), including errors and
// streams. Place it outermost, before every handler that may respond. Options.Origins does the same
// for errors of fasthttp itself. Preflight responds to preflights.
//
// The API uses no cookies, so Access-Control-Allow-Credentials is never sent. An origin that is not
// listed gets no CORS header.
//
// Fiber's cors middleware is not used, because it responds to OPTIONS of unknown paths, lists the
// same methods for every path, compares origins in lower case, and sends its Allow headers to every
// origin.
func CORS(origins Origins) fiber.Handler {
	return func(c *fiber.Ctx) error {
		origins.expose(c)
		return c.Next()
	}
}

// expose sets the CORS headers of a response. It may be called more than once.
func (o Origins) expose(c *fiber.Ctx) {
	if len(o) == 0 {
		return // responses do not depend on the origin
	}
	c.Vary(fiber.HeaderOrigin)
	if o.Classify(c) == ListedOrigin {
		c.Set(fiber.HeaderAccessControlAllowOrigin, c.Get(fiber.HeaderOrigin))
		c.Set(fiber.HeaderAccessControlExposeHeaders, corsResponseHeaders)
	}
}

// Preflight responds to OPTIONS with 204 and the methods of the path in Allow (RFC 9110 section
// 9.3.7). It allows the request that follows the CORS preflight of a listed origin. Place it inside
// Access and Headers, and before authentication, because a preflight carries no credential.
//
// No rate limit applies: the response comes from a table in memory and costs less than a rejection,
// and a browser reports a rejected preflight as a network error, without Retry-After. Unknown paths
// continue to the limiter and get a 404.
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
		if c.Get(fiber.HeaderAccessControlRequestMethod) != "" && origins.Classify(c) == ListedOrigin {
			c.Vary(fiber.HeaderAccessControlRequestMethod, fiber.HeaderAccessControlRequestHeaders)
			c.Set(fiber.HeaderAccessControlAllowMethods, allowed)
			c.Set(fiber.HeaderAccessControlAllowHeaders, corsRequestHeaders)
			c.Set(fiber.HeaderAccessControlMaxAge, corsMaxAge)
			c.Response().Header.Del(fiber.HeaderAccessControlExposeHeaders)
		}
		return c.SendStatus(http.StatusNoContent)
	}
}
