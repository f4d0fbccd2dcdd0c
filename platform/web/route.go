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

// Route is one line of the API: where it is, who may call it, what it answers.
type Route struct {
	Method, Path string // "/v1/orders/{id}"
	Name         string // operation id, kebab-case, unique
	Summary, Doc string
	Tag          string
	Role         identity.Role    // identity.Anyone, User or Admin; never empty
	Scope        identity.Scope   // what an API key needs, or identity.NoKeys; empty opens to no key either
	ExtraScopes  []identity.Scope // what a key needs besides, such as those of what it makes
	Status       int              // on success; default 200, or 204 without a body
	Errors       []int            // statuses beyond those that follow from the rest, 304 included
	MaxBody      int              // bytes; default BodyLimit. Only on paths without parameters
	Idempotent   bool             // takes an Idempotency-Key; HandleIdempotent sets it

	// For Raw and for a Stream, where no types tell.
	Produces string // content types on success, with commas between, such as text/event-stream

	// For Raw only.
	Params []*huma.Param
}

// Handle registers a typed route. I has fields tagged path, query or header and
// a Body; O has fields tagged header, an optional Status int and a Body. The
// handler runs only for callers whose role suffices and with input that its
// schema allows; its errors go through Fail. A GET route answers HEAD too.
//
// It panics over a route that could not work: a duplicate, one without a role,
// or one that an earlier pattern hides.
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
	op.MaxBodyBytes = int64(max(r.MaxBody, BodyLimit)) + 1 // huma refuses what reaches its limit
	op.SkipValidateBody = true                             // adapter.serve has done it by then, strictly
	op.Metadata["apart"] = itemwiseIn(reflect.TypeFor[I]())
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

// mustSee panics over an input with an unexported embedded struct: huma passes
// over it in silence, and its path and header fields would stay empty.
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

// Raw registers a route that types cannot express, such as a WebSocket upgrade
// or a stream. The role, and query parameters against r.Params, are checked as
// for Handle; the handlers do the rest and return their errors.
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
		if err := (requirement{r.Role, r.Scope, r.ExtraScopes}).authorize(c); err != nil {
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

// precompute makes the messages of a schema that huma did not make itself.
func precompute(s *huma.Schema) {
	s.PrecomputeMessages()
	if s.Items != nil {
		precompute(s.Items)
	}
}

func (r Route) successCode() string { return strconv.Itoa(cmp.Or(r.Status, http.StatusOK)) }

// success describes an answer that is no JSON of ours.
func (r Route) success() *huma.Response {
	ok := &huma.Response{Description: http.StatusText(cmp.Or(r.Status, http.StatusOK)), Headers: usualHeaders()}
	if r.Produces == "" {
		return ok
	}
	ok.Content = map[string]*huma.MediaType{}
	for kind := range strings.SplitSeq(r.Produces, ",") {
		ok.Content[strings.TrimSpace(kind)] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return ok
}

// Routes lists what was registered, by path and then by method.
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

// hides tells whether Fiber, which takes the first pattern that matches, would
// never reach the later path.
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
