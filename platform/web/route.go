package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Route describes one operation of the API: its path, its required permissions and its responses.
type Route struct {
	Method, Path string // "/v1/orders/{id}"
	Name         string // operation id, kebab-case, unique
	Summary, Doc string
	Tag          string
	Role         identity.Role    // identity.Anyone, User or Admin; never empty
	Scope        identity.Scope   // that an API key needs; NoKeys and the empty scope allow no API key
	ExtraScopes  []identity.Scope // that an API key needs in addition, such as those of the resources it creates
	Status       int              // on success; default 200, or 204 without a body
	Errors       []int            // statuses that do not follow from the other fields, including 304
	Codes        []string         // of errors that do not follow from the other fields; see Options.Codes
	Example      string           // of the body of a request, in JSON
	MaxBody      int              // bytes; default BodyLimit. Only on paths without parameters
	Idempotent   bool             // accepts an Idempotency-Key; HandleIdempotent sets it

	// Check finds more faults in a body that the schema refuses; see CheckBody. It may be nil.
	Check Check

	// AllowRestricted also admits callers with an identity.Restriction, who must use the route to
	// get rid of it.
	AllowRestricted bool

	// RecentPassword requires that the user of the session gave the password within
	// identity.RecentPassword; otherwise the route answers 403 "password-confirmation-required". It
	// is for routes of sessions alone.
	RecentPassword bool
	// WithoutPassword exempts requests from RecentPassword by the parameters of their path, such as
	// one that ends the caller's own session. nil exempts none.
	WithoutPassword func(c identity.Caller, param func(name string) string) bool

	// For Raw and Stream, where no type describes the response.
	Produces string // content types on success, separated by commas, such as text/event-stream
	// ProducesSchema is the name of a schema of the messages of a stream, which SetSchemas has added.
	// By default, the response is described as a string.
	ProducesSchema string

	// For Raw only.
	Params []*huma.Param
}

// Handle registers a typed route. I has fields tagged path, query or header and a Body; O has
// fields tagged header, an optional Status int and a Body. The handler runs only for callers with
// the required role and with input that its schema allows; its errors go through Fail. A GET route
// also responds to HEAD.
//
// It panics if the route cannot work: a duplicate, a route without a role, or a route that is
// hidden by an earlier pattern.
func Handle[I, O any](api *API, r Route, h func(ctx context.Context, in *I) (*O, error)) {
	if r.Idempotent {
		panic(fmt.Sprintf("web: %s %s is idempotent: register it with HandleIdempotent", r.Method, r.Path))
	}
	handle(api, r, h)
}

func handle[I, O any](api *API, r Route, h func(ctx context.Context, in *I) (*O, error)) {
	api.add(&r)
	mustSee(r, reflect.TypeFor[I]())
	op := r.operation()
	op.MaxBodyBytes = int64(max(r.MaxBody, BodyLimit)) + 1 // huma rejects a body that reaches its limit
	op.SkipValidateBody = true                             // adapter.serve has already validated it strictly
	op.Metadata["apart"] = itemwiseIn(reflect.TypeFor[I]())
	op.Metadata[checkKey] = r.Check
	if r.Produces != "" {
		op.Responses[r.successCode()] = r.success()
	}
	if r.Idempotent {
		op.Parameters = append(op.Parameters, keyParam(api.OpenAPI().Components.Schemas))
	}

	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		if err := inputFaults(ctx); err != nil {
			return nil, failure{err}
		}
		out, err := h(ctx, in)
		if err != nil {
			return nil, failure{err}
		}
		return out, nil
	})
}

// mustSee panics if the input has an unexported embedded struct. huma silently ignores it, so its
// path and header fields would stay empty.
func mustSee(r Route, input reflect.Type) {
	for f := range input.Fields() {
		if f.Anonymous && !f.IsExported() {
			panic(fmt.Sprintf("web: %s %s: the input embeds %s, which is not exported", r.Method, r.Path, f.Name))
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			mustSee(r, f.Type)
		}
	}
}

// Raw registers a route that types cannot express, such as a WebSocket upgrade or a stream. The
// role and the query parameters in r.Params are checked as for Handle; the handlers do everything
// else and return their errors.
func (a *API) Raw(r Route, h ...fiber.Handler) {
	a.add(&r)
	op := r.operation()
	op.Parameters = r.Params
	op.Responses[r.successCode()] = r.success()
	a.OpenAPI().AddOperation(&op)

	for _, param := range r.Params {
		precompute(param.Schema)
	}
	op.MaxBodyBytes = BodyLimit + 1
	plan := planOf(&op, a.OpenAPI().Components.Schemas)
	first := func(c *fiber.Ctx) error {
		c.Locals(patternKey, r.Path)
		if err := r.requirement().authorize(c); err != nil {
			return Fail(c, err)
		}
		in := &request{c: c}
		plan.checkQuery(in)
		plan.checkValues(in)
		done, err := plan.checkBody(in, a.large)
		defer done()
		if err != nil {
			return Fail(c, err)
		}
		if err := in.fault(); err != nil {
			return Fail(c, err)
		}
		return c.Next()
	}
	a.app.Add(r.Method, fiberPath(r.Path), append([]fiber.Handler{first}, h...)...)
}

// precompute prepares the messages of a schema that huma has not generated.
func precompute(s *huma.Schema) {
	s.PrecomputeMessages()
	if s.Items != nil {
		precompute(s.Items)
	}
}

func (r Route) successCode() string { return strconv.Itoa(cmp.Or(r.Status, http.StatusOK)) }

// success describes a response that is not JSON from a typed route.
func (r Route) success() *huma.Response {
	ok := &huma.Response{Description: http.StatusText(cmp.Or(r.Status, http.StatusOK)), Headers: usualHeaders()}
	if r.Produces == "" {
		return ok
	}
	schema := &huma.Schema{Type: huma.TypeString}
	if r.ProducesSchema != "" {
		schema = &huma.Schema{Ref: schemaPrefix + r.ProducesSchema}
	}
	ok.Content = map[string]*huma.MediaType{}
	for kind := range strings.SplitSeq(r.Produces, ",") {
		ok.Content[strings.TrimSpace(kind)] = &huma.MediaType{Schema: schema}
	}
	return ok
}

// Routes returns the registered routes, sorted by path and then by method.
func (a *API) Routes() []Route {
	list := slices.Clone(a.routes)
	slices.SortFunc(list, func(x, y Route) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Method, y.Method))
	})
	return list
}

func (a *API) add(r *Route) {
	if r.Role != identity.Anyone && r.Role != identity.User && r.Role != identity.Admin {
		panic(fmt.Sprintf("web: %s %s has no role", r.Method, r.Path))
	}
	if r.RecentPassword && (r.Role == identity.Anyone || !r.keyless()) {
		panic(fmt.Sprintf("web: %s %s needs a recent password, which API keys and anonymous callers do not have", r.Method, r.Path))
	}
	for _, scope := range append([]identity.Scope{r.Scope}, r.ExtraScopes...) {
		if scope != "" && scope != identity.NoKeys && !scope.Valid() {
			panic(fmt.Sprintf("web: %s %s: the scope %q is not of the form resource:action", r.Method, r.Path, scope))
		}
	}
	for _, old := range a.routes {
		if old.Method == r.Method && hides(old.Path, r.Path) {
			panic(fmt.Sprintf("web: %s %s hides %s: register it later", r.Method, old.Path, r.Path))
		}
	}
	if r.MaxBody > BodyLimit {
		if strings.Contains(r.Path, "{") {
			panic(fmt.Sprintf("web: %s %s: a limit of its own needs a path without parameters", r.Method, r.Path))
		}
		a.bodies[r.Path] = r.MaxBody + readLimit - BodyLimit
	}
	a.routes = append(a.routes, *r)
}

// hides reports whether Fiber, which uses the first pattern that matches, would never reach the
// later path.
func hides(earlier, later string) bool {
	a, b := strings.Split(earlier, "/"), strings.Split(later, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") {
			return false
		}
	}
	return true
}

func fiberPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}
