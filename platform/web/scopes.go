package web

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// ScopeList is a member of a request body that lists scopes of API keys. Its schema enumerates
// Options.Scopes, so that the document shows the scopes of every module and other names are
// rejected.
type ScopeList []identity.Scope

// scopeFormat marks the items of a ScopeList until its route is registered, because a type does not
// know the API in which it is used.
const scopeFormat = "scope"

// Schema implements huma.SchemaProvider.
func (ScopeList) Schema(huma.Registry) *huma.Schema {
	item := &huma.Schema{Type: huma.TypeString, Format: scopeFormat}
	return &huma.Schema{Type: huma.TypeArray, Items: item, MinItems: new(1), UniqueItems: true}
}

// Scopes returns the scopes that the registered routes require of API keys, sorted by name.
func (a *API) Scopes() (all []identity.Scope) {
	for _, r := range a.routes {
		for _, scope := range append([]identity.Scope{r.Scope}, r.ExtraScopes...) {
			if scope.Valid() {
				all = append(all, scope)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// listScopes completes the ScopeLists in the body of a route.
func (a *API) listScopes(op *huma.Operation) {
	if op.RequestBody == nil {
		return
	}
	for _, media := range op.RequestBody.Content {
		body := media.Schema
		if body != nil && body.Ref != "" {
			body = a.OpenAPI().Components.Schemas.SchemaFromRef(body.Ref)
		}
		if body == nil {
			continue
		}
		for _, member := range body.Properties {
			if member.Items == nil || member.Items.Format != scopeFormat {
				continue
			}
			member.Items = a.scope()
			if len(a.scopes) > 0 {
				member.MaxItems = new(len(a.scopes))
			}
			member.PrecomputeMessages()
		}
	}
}

// scope returns the schema of one scope.
func (a *API) scope() *huma.Schema {
	one := &huma.Schema{Type: huma.TypeString}
	for _, scope := range a.scopes {
		one.Enum = append(one.Enum, string(scope))
	}
	one.PrecomputeMessages()
	return one
}
