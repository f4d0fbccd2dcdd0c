package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Recover must be the outermost middleware. It logs a panic with its stack and responds with a
// general 500. Without it a panic would end the process.
func Recover(log *slog.Logger) fiber.Handler {
	log = orDefault(log)
	return func(c *fiber.Ctx) (err error) {
		c.Locals(logKey, log)
		defer func() {
			if reason := recover(); reason != nil {
				id := ensureRequestID(c)
				log.ErrorContext(c.UserContext(), "panic", "request_id", id,
					"reason", fmt.Sprint(reason), "stack", string(debug.Stack()))
				err = fail(c, slog.New(slog.DiscardHandler), errPanic) // logged above
			}
		}()
		return c.Next()
	}
}

var errPanic = errors.New("panic")

// Deadline limits the duration of a request: its context ends after d, and errors after that become
// a 503 "timeout". The time in which the body arrives is added; the ReadTimeout of the server
// limits it. A stream that continues after the handler has returned needs its own context.
func Deadline(d time.Duration) fiber.Handler {
	return func(c *fiber.Ctx) error {
		ctx, cancel := context.WithTimeout(c.UserContext(), d)
		defer cancel()
		c.SetUserContext(ctx)
		return c.Next()
	}
}

// Headers sets headers that prevent the misuse of responses in browsers. A handler may set its own
// values: a page its Content-Security-Policy, a response its caching.
// With a PublicURL of https, browsers also learn to use nothing else for the host and its
// subdomains (HSTS, RFC 6797).
//
// Place it outermost, so that no response lacks them; ErrorHandler adds them to the errors of
// fasthttp itself.
func Headers(o ...Options) fiber.Handler {
	var first Options
	if len(o) > 0 {
		first = o[0]
	}
	return func(c *fiber.Ctx) error {
		setHeaders(c, first)
		return c.Next()
	}
}

// hsts lasts a year, the minimum of ASVS 5.0 3.4.1, which also asks for subdomains.
const hsts = "max-age=31536000; includeSubDomains"

func setHeaders(c *fiber.Ctx, o Options) {
	if strings.HasPrefix(o.PublicURL, "https://") {
		c.Set(fiber.HeaderStrictTransportSecurity, hsts)
	}
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	policy := "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
	if strings.HasPrefix(c.Path(), "/v1/") {
		policy = "default-src 'none'; frame-ancestors 'none'"
		c.Set(fiber.HeaderCacheControl, "no-store")
	}
	c.Set(fiber.HeaderContentSecurityPolicy, policy)
}

// JSONOnly rejects a body that is not application/json in UTF-8, or is compressed, before it is
// read, because Fiber would decompress it without a limit. It does not check requests without a
// route, which get 404 or 405.
func JSONOnly() fiber.Handler {
	var routes *methodTable
	var once sync.Once
	return func(c *fiber.Ctx) error {
		some, err := hasBody(c)
		if err != nil {
			return Fail(c, err)
		}
		if !some {
			return c.Next()
		}
		if err = unsupported(c); err == nil {
			return c.Next()
		}
		once.Do(func() { routes = newMethodTable(c.App()) })
		if _, methods := routes.find(c.Path()); !slices.Contains(methods, c.Method()) {
			return c.Next()
		}
		return Fail(c, err)
	}
}

func unsupported(c *fiber.Ctx) error {
	if coding := c.Get(fiber.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return fault.New(fault.KindUnsupportedMedia, "unsupported-encoding", "Send the body without a Content-Encoding.")
	}
	if !isJSON(c.Get(fiber.HeaderContentType)) {
		return fault.New(fault.KindUnsupportedMedia, "unsupported-media-type", "Send the body as application/json.")
	}
	return nil
}

func isJSON(header string) bool {
	if header == fiber.MIMEApplicationJSON {
		return true
	}
	media, params, err := mime.ParseMediaType(header)
	if err != nil || media != fiber.MIMEApplicationJSON {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}
