package app

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/notifications"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/users"
	"github.com/orderflow-dev/orderflow/modules/webhooks"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

var update = flag.Bool("update", false, "write the golden files anew")

// described is the API with nothing behind it: enough to list its routes.
func described() *web.API {
	registry := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	n := &node{cfg: &config.Config{}, log: log, http: fiber.New(web.Config(web.Options{Log: log}))}
	n.users = users.New(users.Deps{Log: log, Cost: 4})
	keys, err := auth.ParseKeys("test=" + strings.Repeat("0123456789", 4))
	if err != nil {
		panic(err)
	}
	n.auth = auth.New(auth.Deps{
		Sessions: auth.NewSessions(nil, log), Accounts: n.users, Keys: keys, Issuer: "test", Audience: "test", Log: log,
	})
	n.inventory = inventory.New(inventory.Deps{Log: log})
	n.payments = payments.New(payments.Deps{})
	n.orders = orders.New(orders.Deps{Metrics: registry})
	n.notifications = notifications.New(notifications.Deps{Tail: events.NewTail(nil, log), Kinds: orders.Kinds(), Metrics: registry, Log: log})
	n.webhooks = webhooks.New(webhooks.Deps{Log: log, Metrics: registry})
	api := web.New(n.http, web.Options{Title: "Orderflow", Version: "test", Log: log})
	n.mount(api)
	return api
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

// A8: every route says which scope opens it to API keys, or that none does; every
// scope opens something. What changes credentials or accounts is for sessions alone.
func TestScopes(t *testing.T) {
	t.Parallel()
	used := map[identity.Scope]bool{}
	for _, r := range described().Routes() {
		known := r.Scope == identity.NoKeys || slices.Contains(identity.AllScopes(), r.Scope)
		if !known {
			t.Errorf("%s %s has the scope %q: name one, or identity.NoKeys", r.Method, r.Path, r.Scope)
		}
		forSessions := strings.HasPrefix(r.Path, "/v1/auth/") || strings.HasPrefix(r.Path, "/v1/api-keys") || strings.HasPrefix(r.Path, "/v1/users")
		if forSessions && r.Scope != identity.NoKeys && r.Scope != identity.AccountRead {
			t.Errorf("%s %s is open to keys", r.Method, r.Path)
		}
		if r.Method == http.MethodGet && strings.HasSuffix(string(r.Scope), ":write") {
			t.Errorf("%s %s reads with %s", r.Method, r.Path, r.Scope)
		}
		used[r.Scope] = true
	}
	for _, scope := range identity.AllScopes() {
		if !used[scope] {
			t.Errorf("%s opens nothing", scope)
		}
	}
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

func tablesOfMigrations(t *testing.T) (tables []string) {
	t.Helper()
	files, err := filepath.Glob("../migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^create table (\w+)`).FindAllStringSubmatch(string(raw), -1) {
			tables = append(tables, m[1])
		}
	}
	return tables
}
