package app

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// described is the API with nothing behind it: enough to list its routes.
var described = sync.OnceValue(func() *web.API {
	o, err := outlineOf(&config.Config{Issuer: "test", Audience: "test", PaymentProvider: "simulated"}, extensions{})
	if err != nil {
		panic(err)
	}
	return o.api
})

// A7, R1: the role x route table. A new route without a row fails here; write the row
// with -update after thinking about it.
func TestRoleTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, r := range described().Routes() {
		fmt.Fprintf(&b, "%-6s %-36s %-7s %s\n", r.Method, r.Path, r.Role, scopesOf(r))
	}
	golden.Check(t, "testdata/routes.golden", b.String())
}

// A8: every route says which scope opens it to API keys, or that none does. What changes
// credentials or accounts is for sessions alone. The scopes are those that routes name: a
// new one, or a misspelt one, shows in the golden file.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, r := range described().Routes() {
		if r.Scope != identity.NoKeys && !r.Scope.Valid() {
			t.Errorf("%s %s has the scope %q: name one, or identity.NoKeys", r.Method, r.Path, r.Scope)
		}
		forSessions := strings.HasPrefix(r.Path, "/v1/auth/") || strings.HasPrefix(r.Path, "/v1/api-keys") || strings.HasPrefix(r.Path, "/v1/users")
		if forSessions && r.Scope != identity.NoKeys && r.Scope != identity.AccountRead {
			t.Errorf("%s %s is open to keys", r.Method, r.Path)
		}
		if r.Method == http.MethodGet && strings.HasSuffix(string(r.Scope), ":write") {
			t.Errorf("%s %s reads with %s", r.Method, r.Path, r.Scope)
		}
	}
	var b strings.Builder
	for _, scope := range described().Scopes() {
		fmt.Fprintln(&b, scope)
	}
	golden.Check(t, "testdata/scopes.golden", b.String())
}
