// Package web is the front door of every route: strict JSON in, JSON or a
// problem document (RFC 9457) out, one OpenAPI description made from the code.
//
// Routes are typed functions that huma describes, decodes and validates on top
// of Fiber. What huma and Fiber leave open is closed here and nowhere else:
// who may call (Route.Role), unknown and repeated parameters, duplicate and
// unknown JSON members, NUL characters, and what an error tells its reader
// (Fail). A handler therefore sees only input that its schema allows.
package web

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// BodyLimit is the largest body that a route takes unless its MaxBody says more.
const BodyLimit = 256 << 10

// readLimit is what is read of a body before the connection is cut. What lies
// between the two is refused by the route and dropped as it arrives: a client that is
// cut off while it still sends often sees a reset instead of the 413.
const readLimit = 1 << 20

// readBuffer is the largest header. It stays with a connection for as long as that is
// open, be it idle or a socket, since fasthttp cannot part with it when bodies are
// streamed.
const readBuffer = 10 << 10

// Options describe the API. All of them may be left empty.
type Options struct {
	Title, Version, Description string
	Log                         *slog.Logger // default: slog.Default()
	BodyBudget                  int          // bytes of request bodies in memory at once; default BodyBudget
	Origins                     Origins      // whose pages may read what is refused before any handler runs; see CORS

	// Scopes are all that an API key can have: those of the routes, as API.Scopes gathers them.
	// A ScopeList in a body takes nothing else; when there are none, it takes everything.
	Scopes []identity.Scope
}

// Config is the Fiber configuration that the rest of this package relies on.
// Immutable is the one that must never go: without it the strings that a
// handler keeps are overwritten by the next request on the connection.
func Config(o ...Options) fiber.Config {
	var first Options
	if len(o) > 0 {
		first = o[0]
	}
	return fiber.Config{
		Network:                      fiber.NetworkTCP,
		Immutable:                    true,
		CaseSensitive:                true,
		StrictRouting:                true,
		DisablePreParseMultipartForm: true,
		DisableStartupMessage:        true,
		// Handlers run before the body has come, and receive takes it from there. fasthttp
		// reads BodyLimit of it by itself, which cannot be nothing.
		StreamRequestBody: true,
		BodyLimit:         1,
		ReadBufferSize:    readBuffer,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		// Else a connection that has sent nothing yet has buffers already.
		ReduceMemoryUsage: true,
		ErrorHandler:      ErrorHandler(first.Log, first.Origins),
		JSONEncoder:       canonical.Marshal,
		JSONDecoder:       Decode,
	}
}

// API is where modules register their routes with Handle and Raw.
type API struct {
	huma.API
	app    *fiber.App
	log    *slog.Logger
	routes []Route
	scopes []identity.Scope // that a ScopeList takes
	bodies map[string]int   // path -> what is read of it, for routes that take more than BodyLimit
	budget *budget
	large  *largeBodies
}

// settle sets what huma keeps in globals.
var settle = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true  // "QTY" is not "qty"
	huma.DefaultArrayNullable = false // our encoder writes [] for a nil slice
	huma.NewError = newError
	huma.NewErrorWithContext = newErrorWithContext
})

// Schemas describes types that no route has, as routes' are described; references
// begin with the prefix.
func Schemas(prefix string) huma.Registry {
	settle()
	registry := huma.NewMapRegistry(prefix, huma.DefaultSchemaNamer)
	describeTimes(registry)
	return registry
}

// New puts an API on the app. It mounts nothing by itself: serve Document where
// you like. Register every route before the app listens.
func New(app *fiber.App, o Options) *API {
	settle()
	a := &API{
		app: app, log: orDefault(o.Log), scopes: o.Scopes, bodies: map[string]int{},
		budget: newBudget(cmp.Or(o.BodyBudget, BodyBudget)), large: newLargeBodies(),
	}
	fibers := humafiber.New(app, huma.Config{OpenAPI: &huma.OpenAPI{}}).Adapter()
	a.API = huma.NewAPI(huma.Config{OpenAPI: describe(o)}, &adapter{Adapter: fibers, api: a})
	a.guard(app.Server())
	return a
}

// guard closes gaps below Fiber. It answers a method that Fiber does not know with a
// bare 400 before any middleware runs; as a TRACE, which no route takes, it ends as a
// 405 with its Allow header. And a body is received only by who wants it.
func (a *API) guard(server *fasthttp.Server) {
	serve := server.Handler
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		if !knownMethod(string(ctx.Method())) {
			ctx.Request.Header.SetMethod(fiber.MethodTrace)
		}
		if len(ctx.Request.Header.Peek(oversized)) > 0 {
			server.ErrorHandler(ctx, fasthttp.ErrBodyTooLarge)
			ctx.SetConnectionClose()
			return
		}
		in := receive(ctx, a.readable(&ctx.Request.Header), a.budget)
		if in == nil {
			serve(ctx)
			return
		}
		defer in.finish(ctx)
		serve(ctx)
	}
	server.HeaderReceived = func(h *fasthttp.RequestHeader) (none fasthttp.RequestConfig) {
		if length := h.ContentLength(); length > 0 && length > a.readable(h) {
			refuseLength(h)
		}
		return none
	}
}

// readable is the number of bytes of a request's body that are read at most.
func (a *API) readable(h *fasthttp.RequestHeader) int {
	return max(readLimit, a.bodies[withoutQuery(string(h.RequestURI()))])
}

// oversized marks a request that the guard answers. A client that sends it is refused
// just the same.
const oversized = "Orderflow-Oversized"

// refuseLength makes fasthttp call the handler without waiting for a body that will
// not be read, and close the connection behind it.
func refuseLength(h *fasthttp.RequestHeader) {
	h.SetContentLength(0)
	h.SetConnectionClose()
	h.Del(fasthttp.HeaderExpect) // else the client is asked for the body first
	h.Set(oversized, "1")
}

func knownMethod(method string) bool {
	return slices.Contains(fiber.DefaultMethods, method)
}

func withoutQuery(uri string) string {
	for i := range len(uri) {
		if uri[i] == '?' {
			return uri[:i]
		}
	}
	return uri
}

func orDefault(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}
