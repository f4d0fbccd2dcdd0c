package app

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

var update = flag.Bool("update", false, "write the golden files anew")

// described is the API with nothing behind it: enough to list its routes.
func described() *web.API {
	o, err := outlineOf(&config.Config{Issuer: "test", Audience: "test", PaymentProvider: "simulated"}, extensions{})
	if err != nil {
		panic(err)
	}
	return o.api
}

// A7, R1: the role x route table. A new route without a row fails here; write the row
// with -update after thinking about it.
func TestRoleTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, r := range described().Routes() {
		fmt.Fprintf(&b, "%-6s %-36s %-7s %s\n", r.Method, r.Path, r.Role, scopesOf(r))
	}
	golden(t, "routes.golden", b.String())
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
	golden(t, "scopes.golden", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is out of date; it would be:\n%s", path, got)
	}
}
