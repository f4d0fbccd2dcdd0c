// Package web serves the routes of the API: it accepts strict JSON, returns JSON or a problem
// document (RFC 9457), and generates the OpenAPI document from the code.
//
// Routes are typed functions that huma describes, decodes and validates on top of Fiber. This
// package adds what huma and Fiber do not check: the role of the caller (Route.Role), unknown and
// repeated parameters, duplicate and unknown JSON members, NUL characters, and the contents of
// error responses (Fail). A handler therefore sees only input that its schema allows.
package web

import (
	"cmp"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// BodyLimit is the maximum size of a request body in bytes, unless Route.MaxBody is larger.
const BodyLimit = 256 << 10

// readLimit is the number of bytes of a body that are read before the connection is closed. The
// route rejects a body between BodyLimit and readLimit, and discards it as it arrives, because a
// client that is disconnected while it still sends often sees a reset instead of the 413.
const readLimit = 1 << 20

// readBuffer is the maximum size of the headers of a request. Each open connection holds a buffer
// of this size, even an idle one or a WebSocket, because fasthttp cannot release it when bodies
// are streamed.
const readBuffer = 10 << 10

// Options configure the API. The zero value works.
type Options struct {
	Title, Version, Description string
	Log                         *slog.Logger // default: slog.Default()
	BodyBudget                  int          // bytes of request bodies in memory at once; default BodyBudget
	LargeBodies                 int          // bodies above BodyLimit that are processed at once; default LargeBodies
	Origins                     Origins      // their pages may read errors that precede the handlers; see CORS

	// PublicURL is the only origin at which clients reach the API, such as https://api.example.com;
	// empty if there may be several. See Host and Headers.
	PublicURL string

	// Tags are the tags of the operations, in the order in which the document lists them.
	Tags []Tag

	// Codes documents the codes of Route.Codes. The document has an example of each.
	Codes fault.Catalog

	// Scopes are the scopes that an API key can have: those of the routes, as API.Scopes returns
	// them. A ScopeList in a body accepts only these, or any scope when there are none.
	Scopes []identity.Scope
}

// Config returns the Fiber configuration that this package requires. Immutable is essential:
// without it, the next request on the connection overwrites the strings that a handler keeps.
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
		// Handlers run before the body has arrived, and receive reads it. fasthttp itself reads
		// up to BodyLimit bytes, which cannot be 0.
		StreamRequestBody: true,
		BodyLimit:         1,
		ReadBufferSize:    readBuffer,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		// Without this, a connection has buffers before it has sent anything.
		ReduceMemoryUsage: true,
		ErrorHandler:      ErrorHandler(first),
		JSONEncoder:       canonical.Marshal,
		JSONDecoder:       Decode,
	}
}

// API holds the routes that modules register with Handle and Raw.
type API struct {
	huma.API
	app    *fiber.App
	log    *slog.Logger
	routes []Route
	scopes []identity.Scope // that a ScopeList accepts
	bodies map[string]int   // maximum of bytes read, by path, for routes that accept more than BodyLimit
	budget *budget
	large  *largeBodies

	tags    []Tag
	codes   []fault.Code
	schemas []func() (map[string]any, error) // that replace or add to those of the routes; see SetSchemas
	enums   map[string][]string              // that are listed once; see NameEnum
}

// settle sets the global variables of huma.
var settle = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true  // "QTY" is not "qty"
	huma.DefaultArrayNullable = false // our encoder writes [] for a nil slice
	huma.NewError = newError
	huma.NewErrorWithContext = newErrorWithContext
})

// Schemas returns a registry for types that no route uses. It describes them like the types of
// routes; references begin with the prefix.
func Schemas(prefix string) huma.Registry {
	settle()
	registry := huma.NewMapRegistry(prefix, namer())
	registry.RegisterTypeAlias(reflect.TypeFor[uuid.UUID](), reflect.TypeFor[uuidText]())
	describeTimes(registry)
	return registry
}

// New creates an API on the app. It registers no route itself: the caller chooses where to serve
// Document. Register every route before the app listens.
func New(app *fiber.App, o Options) *API {
	settle()
	a := &API{
		app: app, log: orDefault(o.Log), scopes: o.Scopes, bodies: map[string]int{}, tags: o.Tags, codes: o.Codes.Codes, enums: map[string][]string{},
		budget: newBudget(cmp.Or(o.BodyBudget, BodyBudget)), large: newLargeBodies(cmp.Or(o.LargeBodies, LargeBodies)),
	}
	fibers := humafiber.New(app, huma.Config{OpenAPI: &huma.OpenAPI{}}).Adapter()
	a.API = huma.NewAPI(huma.Config{OpenAPI: describe(o)}, &adapter{Adapter: fibers, api: a})
	a.guard(app.Server())
	return a
}

// guard corrects two behaviours below Fiber. Fiber responds to an unknown method with a bare 400
// before any middleware runs; as a TRACE, which no route has, the request gets a 405 with an Allow
// header. A body is received only when a handler reads it.
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

// readable returns the maximum number of bytes that are read of the body of a request.
func (a *API) readable(h *fasthttp.RequestHeader) int {
	return max(readLimit, a.bodies[withoutQuery(string(h.RequestURI()))])
}

// oversized is the header that marks a request that guard rejects. A request of a client with this
// header is rejected in the same way.
const oversized = "Orderflow-Oversized"

// refuseLength makes fasthttp call the handler without waiting for the body, which is not read, and
// close the connection afterwards.
func refuseLength(h *fasthttp.RequestHeader) {
	h.SetContentLength(0)
	h.SetConnectionClose()
	h.Del(fasthttp.HeaderExpect) // otherwise fasthttp first asks the client for the body
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
