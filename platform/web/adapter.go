package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// adapter sits between huma's pipeline and its Fiber adapter, so that every typed route passes
// through serve first.
type adapter struct {
	huma.Adapter
	api *API
}

func (a *adapter) Handle(op *huma.Operation, next func(huma.Context)) {
	for _, response := range op.Responses {
		if response.Ref != "" {
			continue
		}
		if response.Headers == nil {
			response.Headers = map[string]*huma.Header{}
		}
		maps.Copy(response.Headers, usualHeaders())
	}
	a.api.listScopes(op)
	plan := planOf(op, a.api.OpenAPI().Components.Schemas)
	need, _ := op.Metadata[requirementKey].(requirement)
	bulk := op.MaxBodyBytes > BodyLimit+1
	serve := func(ctx huma.Context) {
		if bulk { // the response is large as well, and has no secrets
			humafiber.Unwrap(ctx).Locals(compressKey, true)
		}
		a.serve(ctx, plan, need, next)
	}
	a.Adapter.Handle(op, serve)
	if op.Method == http.MethodGet {
		head := *op
		head.Method = http.MethodHead
		a.Adapter.Handle(&head, serve)
	}
}

func (a *adapter) serve(ctx huma.Context, plan *plan, need requirement, next func(huma.Context)) {
	c := humafiber.Unwrap(ctx)
	c.Locals(patternKey, plan.path)
	if err := need.authorize(c); err != nil {
		_ = fail(c, a.api.log, err)
		return
	}
	r := &request{humaContext: ctx, c: c, log: a.api.log, plan: plan}
	plan.checkQuery(r)
	plan.checkParams(r)
	plan.checkKey(r)
	done, err := plan.checkBody(r, a.api.large)
	defer done()
	if err != nil {
		_ = fail(c, a.api.log, err)
		return
	}
	r.ctx = context.WithValue(c.UserContext(), requestKey{}, r)
	next(r)
}

// Negotiate always chooses JSON. The API has no other format, and an unusual Accept header is no
// reason to reject a request.
func (a *API) Negotiate(string) (string, error) { return "application/json", nil }

// Marshal renders v completely before it writes, so that a rendering error leaves no partial body.
func (a *API) Marshal(w io.Writer, _ string, v any) error {
	raw, err := bytesOf(v)
	if err != nil {
		return err
	}
	_, err = w.Write(raw)
	return err
}

// Unmarshal decodes a body that checkBody has accepted.
func (a *API) Unmarshal(_ string, data []byte, v any) error { return decodeInto(data, v) }

// request is huma's view of a request, with additional checks, and collects the errors of the
// input.
type request struct {
	humaContext
	c        *fiber.Ctx
	log      *slog.Logger
	plan     *plan
	ctx      context.Context //nolint:containedctx // huma asks its Context for it; it lives as long as this request
	query    url.Values
	raw      []byte           // the body, or its outline
	rawItems []jsontext.Value // the items of the body's ItemwiseList
	params   []fault.Field
	body     []fault.Field
	more     bool                     // there are more than the listed ones
	checked  bool                     // the Check of the route has run
	items    map[string][]fault.Field // the errors of the items of the body's ItemwiseList, by index; computed on first use
}

// humaContext names the embedded interface, because the name Context is a method.
type humaContext huma.Context

type requestKey struct{}

// Context returns the context of the caller, with the deadline and this request.
func (r *request) Context() context.Context { return r.ctx }

// Param decodes the escapes that Fiber leaves in path parameters.
func (r *request) Param(name string) string {
	raw := r.c.Params(name)
	if !strings.Contains(raw, "%") {
		return raw
	}
	if value, err := url.PathUnescape(raw); err == nil {
		return value
	}
	return raw // checkParams has rejected it
}

// Query returns the first value, or all values joined with commas for a list.
func (r *request) Query(name string) string {
	if param := r.plan.query[name]; param != nil && isList(param.Schema) {
		return strings.Join(r.query[name], ",")
	}
	return r.query.Get(name)
}

// Header joins the lines of a header that occurs several times, as RFC 9110 allows for lists.
// checkParams has rejected repeated headers with a single value.
func (r *request) Header(name string) string {
	lines := r.c.Request().Header.PeekAll(name)
	if len(lines) == 1 {
		return string(lines[0])
	}
	parts := make([]string, len(lines))
	for i, line := range lines {
		parts[i] = string(line)
	}
	return strings.Join(parts, ", ")
}

// BodyReader returns the body as it was validated. The connection has no more of it.
func (r *request) BodyReader() io.Reader { return bytes.NewReader(r.raw) }

// URL replaces an implementation that panics for a path such as /%zz.
func (r *request) URL() url.URL {
	return url.URL{Path: r.c.Path(), RawQuery: r.query.Encode()}
}

// SetReadDeadline does nothing. huma would set its own timeout for the body on the connection,
// where it remains and closes the idle connection. Fiber's ReadTimeout has already limited the
// body.
func (r *request) SetReadDeadline(time.Time) error { return nil }

// SetListMember sets one member of a list field in the response to the request of ctx, such as a
// policy of RateLimit. It replaces the member that begins with the same item, up to the first
// semicolon. It does nothing if ctx belongs to no request.
func SetListMember(ctx context.Context, field, member string) {
	r := requestFrom(ctx)
	if r == nil {
		return
	}
	item, _, _ := strings.Cut(member, ";")
	var members []string
	for present := range strings.SplitSeq(string(r.c.Response().Header.Peek(field)), ", ") {
		if other, _, _ := strings.Cut(present, ";"); present != "" && other != item {
			members = append(members, present)
		}
	}
	r.c.Set(field, strings.Join(append(members, member), ", "))
}

func requestFrom(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}
