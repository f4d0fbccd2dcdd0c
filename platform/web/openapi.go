package web

import (
	"cmp"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// The names of the two credentials in the document; both are bearer tokens.
const (
	bearer = "bearerAuth"
	apiKey = "apiKeyAuth"
)

// Keys in the metadata of an operation.
const (
	requirementKey = "demand"
	idempotentKey  = "idempotent"
)

// Document returns the OpenAPI 3.1 description of the API as JSON. Call it after all routes are
// registered.
func (a *API) Document() ([]byte, error) { return a.OpenAPI().MarshalJSON() }

// describe returns the part of the document that is common to all routes: the Problem schema, one
// response for each error status, the headers, and the security schemes.
func describe(o Options) *huma.OpenAPI {
	schemas := huma.NewMapRegistry("#/components/schemas/", namer())
	schemas.RegisterTypeAlias(reflect.TypeFor[uuid.UUID](), reflect.TypeFor[uuidText]())
	describeTimes(schemas)
	problem := schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:       cmp.Or(o.Title, "Orderflow"),
			Version:     cmp.Or(o.Version, "dev"),
			Description: o.Description,
		},
		Servers: []*huma.Server{{URL: cmp.Or(o.PublicURL, "/")}},
		Components: &huma.Components{
			Schemas:   schemas,
			Responses: problemResponses(problem),
			Headers: map[string]*huma.Header{
				"RequestId":       header("The id of this request, as in the logs"),
				"ClientRequestId": header("The X-Request-Id that the client sent, which is in the logs too"),
				"RateLimit":       header("What is left of the limit (draft-ietf-httpapi-ratelimit-headers)"),
				"RateLimitPolicy": header("The limit that applies"),
			},
			SecuritySchemes: map[string]*huma.SecurityScheme{
				bearer: {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "An access token, as a log-in gives it"},
				apiKey: {Type: "http", Scheme: "bearer", BearerFormat: "ofk_", Description: "An API key, in the same header; each operation names the scope that it must have"},
			},
		},
	}
}

// uuidText describes ids with the format uuid, in bodies and lists too. With huma's description any
// text would be valid, and the decoder would report only the first invalid id.
type uuidText struct{}

// Schema returns the schema of a UUID.
func (uuidText) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Format: "uuid"}
	s.PrecomputeMessages()
	return s
}

func problemResponses(problem *huma.Schema) map[string]*huma.Response {
	all := map[string]*huma.Response{
		responseName(http.StatusNotModified): {Description: "Not Modified", Headers: usualHeaders()},
	}
	for status := 400; status < 600; status++ {
		if http.StatusText(status) == "" {
			continue
		}
		r := &huma.Response{
			Description: http.StatusText(status),
			Headers:     usualHeaders(),
			Content:     map[string]*huma.MediaType{problemType: {Schema: problem}},
		}
		switch status {
		case http.StatusUnauthorized:
			r.Headers["WWW-Authenticate"] = header("How to authenticate")
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			r.Headers["Retry-After"] = header("Seconds to wait before the next try")
		}
		all[responseName(status)] = r
	}
	return all
}

func responseName(status int) string {
	return strings.NewReplacer(" ", "", "-", "", "'", "").Replace(http.StatusText(status))
}

func header(doc string) *huma.Header {
	return &huma.Header{Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
}

func usualHeaders() map[string]*huma.Header {
	return map[string]*huma.Header{
		"X-Request-Id":        {Ref: "#/components/headers/RequestId"},
		"X-Client-Request-Id": {Ref: "#/components/headers/ClientRequestId"},
		"RateLimit":           {Ref: "#/components/headers/RateLimit"},
		"RateLimit-Policy":    {Ref: "#/components/headers/RateLimitPolicy"},
	}
}

func (r Route) operation() huma.Operation {
	op := huma.Operation{
		OperationID:   r.Name,
		Method:        r.Method,
		Path:          r.Path,
		Summary:       r.Summary,
		Description:   r.description(),
		DefaultStatus: r.Status,
		Responses:     map[string]*huma.Response{},
		Metadata:      map[string]any{requirementKey: r.requirement(), idempotentKey: r.Idempotent},
		Extensions:    map[string]any{"x-role": r.Role, "x-scope": cmp.Or(r.Scope, identity.NoKeys)},
		Security:      r.security(),
	}
	if r.RecentPassword {
		op.Extensions["x-recent-password"] = int(identity.RecentPassword / time.Second)
	}
	if len(r.ExtraScopes) > 0 {
		op.Extensions["x-scopes-also"] = r.ExtraScopes
	}
	if r.Tag != "" {
		op.Tags = []string{r.Tag}
	}
	for _, status := range r.statuses() {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + responseName(status)}
	}
	return op
}

func (r Route) keyless() bool { return r.Scope == "" || r.Scope == identity.NoKeys }

// description adds the scopes of API keys, because readers of the page see neither extensions nor
// the scopes of a bearer token.
func (r Route) description() string {
	switch {
	case !r.keyless():
		return strings.TrimSpace(r.Doc + "\n\nAPI keys need the scope `" + r.requirement().scopes("` and `") + "`.")
	case r.Role != identity.Anyone:
		return strings.TrimSpace(r.Doc + "\n\n" + r.passwordDoc() + "Not open to API keys.")
	}
	return r.Doc
}

func (r Route) passwordDoc() string {
	if !r.RecentPassword {
		return ""
	}
	return "403 `password-confirmation-required` unless you logged in or confirmed your password (`POST /v1/auth/confirm`) in the last five minutes. "
}

// security lists the alternatives; {} means that no credential is required.
func (r Route) security() (list []map[string][]string) {
	if r.Role == identity.Anyone && r.keyless() {
		return nil
	}
	if r.Role == identity.Anyone {
		list = append(list, map[string][]string{})
	}
	list = append(list, map[string][]string{bearer: {}})
	if !r.keyless() {
		need := []string{string(r.Scope)}
		for _, scope := range r.ExtraScopes {
			need = append(need, string(scope))
		}
		list = append(list, map[string][]string{apiKey: need})
	}
	return list
}

// statuses returns the error statuses that a route of this kind may respond with.
func (r Route) statuses() []int {
	list := append([]int{400, 413, 415, 429, 500, 503}, r.Errors...)
	if r.Role != identity.Anyone {
		list = append(list, http.StatusUnauthorized, http.StatusForbidden)
	}
	if strings.Contains(r.Path, "{") {
		list = append(list, http.StatusNotFound)
	}
	if r.Method == http.MethodPost || r.Method == http.MethodPatch || r.Method == http.MethodPut {
		list = append(list, 409, 422)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// namer gives a type its short name, or a name with its package in front if two modules use the
// same name, which huma would reject.
func namer() func(reflect.Type, string) string {
	taken := map[string]reflect.Type{}
	return func(t reflect.Type, hint string) string {
		name := huma.DefaultSchemaNamer(t, hint)
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return name
		}
		if other, ok := taken[name]; ok && other != t {
			pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
			name = strings.ToUpper(pkg[:min(1, len(pkg))]) + pkg[min(1, len(pkg)):] + name
			for n := 2; taken[name] != nil && taken[name] != t; n++ {
				name = fmt.Sprintf("%s%d", strings.TrimRight(name, "0123456789"), n)
			}
		}
		taken[name] = t
		return name
	}
}
