package web

import (
	"cmp"
	"net/http"
	"reflect"
	"slices"
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

// describe returns the part of the document that is common to all routes: the Problem schema, the
// headers, and the security schemes.
func describe(o Options) *huma.OpenAPI {
	schemas := huma.NewMapRegistry("#/components/schemas/", namer())
	schemas.RegisterTypeAlias(reflect.TypeFor[uuid.UUID](), reflect.TypeFor[uuidText]())
	describeTimes(schemas)
	schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:       cmp.Or(o.Title, "Orderflow"),
			Version:     cmp.Or(o.Version, "dev"),
			Description: o.Description,
			License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: cmp.Or(o.PublicURL, "/")}},
		Components: &huma.Components{
			Schemas: schemas,
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

// usualHeaders are those of every response.
func usualHeaders() map[string]*huma.Header {
	text := func(doc string) *huma.Header {
		return &huma.Header{Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return map[string]*huma.Header{
		"X-Request-Id":        text("The id of this request, as in the logs"),
		"X-Client-Request-Id": text("The X-Request-Id that the client sent, which is in the logs too"),
		"RateLimit":           text("What is left of the limit (draft-ietf-httpapi-ratelimit-headers)"),
		"RateLimit-Policy":    text("The limit that applies"),
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
	if slices.Contains(r.Errors, http.StatusNotModified) {
		op.Responses["304"] = &huma.Response{Description: "Not Modified", Headers: usualHeaders()}
	}
	op.Responses["default"] = &huma.Response{Description: "Error"} // Document completes it
	return op
}

func (r Route) keyless() bool { return r.Scope == "" || r.Scope == identity.NoKeys }

// description adds the scopes of API keys, because readers of the page see neither extensions nor
// the scopes of a bearer token.
func (r Route) description() string {
	switch {
	case !r.keyless():
		return strings.TrimSpace(r.Doc + " API keys need the scope `" + r.requirement().scopes("` and `") + "`.")
	case r.Role != identity.Anyone:
		return strings.TrimSpace(r.Doc + " " + r.passwordDoc() + "Not open to API keys.")
	}
	return r.Doc
}

func (r Route) passwordDoc() string {
	if !r.RecentPassword {
		return ""
	}
	return "403 `password-confirmation-required` unless you logged in or confirmed your password (`POST /v1/auth/confirm`) in the last five minutes. "
}

// security lists the alternatives; {} means that no credential is required. The list is empty for a
// route that ignores credentials.
func (r Route) security() []map[string][]string {
	list := []map[string][]string{}
	if r.Role == identity.Anyone && r.keyless() {
		return list
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
