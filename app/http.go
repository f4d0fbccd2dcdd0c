package app

import (
	"cmp"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/gofiber/fiber/v2/middleware/limiter"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/orderflow-dev/orderflow/app/pages"
	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/mail"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// aboutAPI begins with the first steps of the guide.
const aboutAPI = "Takes orders, processes them durably, and tells everyone concerned. The [guide](/guide) explains the API and lists all error codes.\n\n" +
	"1. Register with `POST /v1/auth/register`, and log in with `POST /v1/auth/login`.\n" +
	"2. Send the `accessToken` with each request: `Authorization: Bearer ...`. It is valid for 15 minutes; `POST /v1/auth/refresh` returns another one.\n" +
	"3. Choose from `GET /v1/products`, and place an order with `POST /v1/orders` and an `Idempotency-Key`, so that it is safe to send the request again.\n" +
	"4. Follow it with `GET /v1/events?wait=20`, and continue from `nextCursor`; or over a WebSocket, Server-Sent Events or webhooks.\n\n" +
	"Pages of the origins in the server's `ALLOWED_ORIGINS` may use all of it from a browser (CORS): they send the `Authorization` header, " +
	"not cookies, and may read every response, errors and streams included. Pages of other origins may not read any response."

// routes mounts all routes of this process. Probes and metrics are on a port of their own if there
// is one, because they show the state of the system and have no rate limit. A process that only
// works jobs has nothing else.
func (n *node) routes(scopes []identity.Scope) error {
	options := web.Options{
		Title: "Orderflow", Version: versionOf(), Log: n.log,
		Description: aboutAPI, Tags: tags, Codes: n.errorCodes(), Origins: n.cfg.Origins, PublicURL: n.cfg.PublicURL, Scopes: scopes,
	}
	options.BodyBudget, options.LargeBodies = bodyLimits(debug.SetMemoryLimit(-1))
	n.http = fiber.New(web.Config(options))
	api := web.New(n.http, options)
	n.http.Use(web.Headers(options), web.Recover(n.log), web.TrustTraces(bool(n.cfg.TrustedTraces)), web.RequestID(), web.CORS(n.cfg.Origins))
	if n.cfg.Compression {
		n.http.Use(web.Compress())
	}
	probes := n.http
	if n.cfg.InternalPort != 0 {
		n.internal = fiber.New(internalConfig(options))
		n.internal.Use(web.Headers(), web.Recover(n.log), web.RequestID())
		probes = n.internal
	}
	if n.internal == nil { // clients reach them
		limited := n.limit()
		for _, path := range []string{"/health", "/metrics"} {
			n.http.Get(path, web.ClientAddress(n.cfg.TrustedProxies), limited)
		}
	}
	n.health.mount(probes)
	probes.Get("/metrics", adaptor.HTTPHandler(promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{})))
	if !n.cfg.Has("api") {
		return nil
	}
	schemas, err := n.notifications.Schemas()
	if err != nil {
		return err
	}

	n.http.Use(
		web.Access(n.log, n.registry, n.tracers),
		web.Host(n.cfg.PublicURL),
		web.Preflight(n.http, n.cfg.Origins),
		web.ClientAddress(n.cfg.TrustedProxies),
		web.Deadline(n.limits.route),
		n.auth.Credentials(),
		n.notifications.Credentials(),
		n.limit(),
		web.JSONOnly(),
	)
	if err := n.mount(api); err != nil {
		return err
	}
	if !n.cfg.ServesPages() {
		return nil
	}
	var outbox func() []mail.Sent
	if n.outbox != nil {
		outbox = n.outbox.Messages
	}
	dir := ""
	if !n.cfg.IsProduction() {
		dir = pages.SourceDir()
	}
	pages.Mount(n.http, pages.Options{
		Dir: dir,

		Outbox: outbox, OpenAPI: api.Document, AsyncAPI: func() ([]byte, error) { return n.notifications.AsyncAPI(versionOf(), n.cfg.PublicURL) },
		Schemas: schemas, Version: versionOf(), Guide: n.guide,
	})
	return nil
}

// internalConfig is the configuration of the port for probes, which accept no body.
func internalConfig(o web.Options) fiber.Config {
	c := web.Config(web.Options{Log: o.Log})
	c.StreamRequestBody = false
	return c
}

// mount registers the modules' routes.
func (n *node) mount(api *web.API) error {
	var errs []error
	for _, m := range n.modules {
		errs = append(errs, safely(m, func() { m.Routes(api) }))
	}
	return errors.Join(errs...)
}

// limit is Fiber's limiter with Redis as its storage and atomic counting by internal/redis. A
// request counts under its caller and, if that is an account, also under the network address, so that
// several accounts of one person do not multiply the limit (SPEC F14).
func (n *node) limit() fiber.Handler {
	return limiter.New(limiter.Config{
		Storage: n.redis.Storage(),
		LimiterMiddleware: redis.Middleware{
			Name: "default", Limiter: n.limiter,
			Limit: redis.Limit(n.cfg.RateLimit),
			Also:  []redis.Policy{{Name: "address", Limit: redis.Limit(*cmp.Or(n.cfg.RateLimitPerAddress, &config.Limit{})), Key: web.CallerNetwork}},
		},
		KeyGenerator: web.CallerKey,
		LimitReached: func(c *fiber.Ctx) error {
			return web.Fail(c, fault.New(fault.KindRateLimited, "rate-limited", "Too many requests; see Retry-After.").With("policy", redis.Exceeded(c)))
		},
		Next: func(c *fiber.Ctx) bool { // the files of the page, which are in memory
			return n.cfg.ServesPages() && c.Method() == http.MethodGet && slices.Contains(pages.SwaggerFiles, c.Path())
		},
	})
}
