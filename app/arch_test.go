package app

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whose table is whose. The events and idempotency keys belong to the platform's
// packages of those names, river_job to River.
var owners = map[string]string{
	"users": "users",

	"sessions": "auth", "refresh_tokens": "auth", "revocations": "auth", "tickets": "auth", "dev_signing_keys": "auth",
	"api_keys": "auth",

	"products": "inventory", "reservations": "inventory", "movements": "inventory", "catalogue": "inventory",

	"payments": "payments", "refunds": "payments", "ledger": "payments",

	"orders": "orders", "order_lines": "orders", "order_terms": "orders", "order_counts": "orders", "dead_letters": "orders",

	"notifications": "notifications", "inbox_counts": "notifications",
	"webhooks": "notifications", "webhook_deliveries": "notifications", "webhook_attempts": "notifications",
	"webhook_replays": "notifications",

	"events": "platform", "event_log": "platform", "event_readers": "platform", "idempotency_keys": "platform",
}

// Which module's rows an ent client method reads and writes.
var entities = map[string]string{
	"User": "users", "Session": "auth", "Product": "inventory", "Movement": "inventory", "Order": "orders",
	"Notification": "notifications",
	"Webhook":      "notifications", "WebhookDelivery": "notifications", "WebhookAttempt": "notifications", "WebhookReplay": "notifications",
}

// source is one file that is not a test.
type source struct {
	path string // modules/orders/place.go
	file *ast.File
}

func sources(t *testing.T, dir string) (list []source) {
	t.Helper()
	root := ".."
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		list = append(list, source{filepath.ToSlash(rel), f})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatalf("no sources in %s", dir)
	}
	return list
}

func (s source) imports() (paths []string) {
	for _, i := range s.file.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

// module is the module that a file belongs to, "" outside of modules.
func (s source) module() string {
	parts := strings.Split(s.path, "/")
	if parts[0] != "modules" || len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// Who may import whom: app -> modules -> ent, platform; app -> config, migrations.
func TestImports(t *testing.T) {
	t.Parallel()
	rules := []struct{ dir, forbidden, except string }{
		{"modules", `^github.com/orderflow-dev/orderflow/(app|config|migrations|bench)`, ""},
		{"platform", `^github.com/orderflow-dev/orderflow/(app|config|migrations|bench|modules|ent)`, ""},
		{"config", `^github.com/orderflow-dev/orderflow/`, ""},
		{"migrations", `^github.com/orderflow-dev/orderflow/(app|config|bench|modules|ent)`, ""},
		{"modules/orders/lifecycle", `\.`, leafImports},
		{"modules/payments/settlement", `\.`, leafImports},
	}
	for _, rule := range rules {
		forbidden, except := regexp.MustCompile(rule.forbidden), regexp.MustCompile(cmp.Or(rule.except, "^$"))
		for _, s := range sources(t, rule.dir) {
			for _, path := range s.imports() {
				if forbidden.MatchString(path) && !except.MatchString(path) {
					t.Errorf("%s imports %s", s.path, path)
				}
			}
		}
	}
}

// leafImports are what a package may import, besides the standard library, that knows
// neither a database nor HTTP.
const leafImports = `^github.com/(google/uuid|orderflow-dev/orderflow/platform/(money|identity))$`

// published are the leaf packages in which modules declare what they exchange (ADR 16).
var published = []string{"modules/payments/settlement"}

// A module imports nothing of another one but its published language.
func TestModulesDoNotKnowEachOther(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t, "modules") {
		for _, path := range s.imports() {
			rest, ok := strings.CutPrefix(path, "github.com/orderflow-dev/orderflow/modules/")
			if ok && strings.Split(rest, "/")[0] != s.module() && !slices.Contains(published, "modules/"+rest) {
				t.Errorf("%s imports %s", s.path, path)
			}
		}
	}
}

// What only the HTTP edge of a module imports: the standard library's HTTP, the
// framework and its OpenAPI, and the package that puts them together.
var httpPackages = regexp.MustCompile(`^net/http($|/)|^github\.com/orderflow-dev/orderflow/platform/web$|` +
	`^github\.com/(gofiber/|danielgtaylor/huma|valyala/fasthttp)`)

// The files of modules that import HTTP and are no edge, each with the reason.
var callsOut = map[string]string{
	"modules/notifications/socket.go":        "speaks WebSocket on a connection that HTTP has handed over",
	"modules/notifications/webhooks/post.go": "posts to the receivers",
	"modules/notifications/webhooks/sign.go": "sets the headers of a post",
	"modules/payments/stripe/stripe.go":      "calls the provider",
	"modules/payments/stripe/errors.go":      "reads the provider's statuses",
	"modules/payments/simulated/dial.go":     "calls the simulated provider in another process",
}

// edge tells whether a file of a module is its HTTP edge.
func (s source) edge() bool {
	return strings.HasSuffix(s.path, "/http.go") || strings.HasSuffix(s.path, "_http.go")
}

// Use cases return values: only http.go and *_http.go know HTTP (ADR 17).
func TestOnlyTheEdgeKnowsHTTP(t *testing.T) {
	t.Parallel()
	calling := map[string]bool{}
	for _, s := range sources(t, "modules") {
		for _, path := range s.imports() {
			switch {
			case !httpPackages.MatchString(path) || s.edge():
			case callsOut[s.path] != "":
				calling[s.path] = true
			default:
				t.Errorf("%s imports %s: only http.go and *_http.go do", s.path, path)
			}
		}
	}
	for path := range callsOut {
		if !calling[path] {
			t.Errorf("%s is listed and imports no HTTP", path)
		}
	}
}

// Neither do the packages of the platform that use cases import.
func TestLeavesKnowNoHTTP(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"idempotency", "canonical", "jsontime", "clientaddr", "fault", "identity", "money", "events", "batch"} {
		for _, s := range sources(t, "platform/"+dir) {
			for _, path := range s.imports() {
				if httpPackages.MatchString(path) {
					t.Errorf("%s imports %s", s.path, path)
				}
			}
		}
	}
}

// A module never touches another's tables, neither in SQL nor through ent.
func TestModulesKeepToTheirTables(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t, "modules") {
		for _, fault := range trespasses(s) {
			t.Errorf("%s: %s", s.path, fault)
		}
	}
}

// The check above sees what it should see.
func TestTrespassesAreSeen(t *testing.T) {
	t.Parallel()
	rows := []struct{ body, want string }{
		{"q(`select * from products p where p.sku = $1`)", "SQL touches products of inventory"},
		{"q(`with x as (select 1) update only users set a = 1`)", "SQL touches users of users"},
		{"q(`select 1 from orders join sessions using (id)`)", "SQL touches sessions of auth"},
		{"q(`insert into events (a) values (1)`)", "SQL touches events of platform"},
		{"db.User.Query()", "ent touches User of users"},
		{"client(tx).Product.UpdateOneID(3)", "ent touches Product of inventory"},
		{"db.Order.Query(); q(`select from order_lines`); o.User.Name()", ""},
	}
	for _, row := range rows {
		src := "package orders\nfunc f() {\n" + row.body + "\n}\n"
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}

		got := strings.Join(trespasses(source{"modules/orders/x.go", f}), "; ")

		if got != row.want {
			t.Errorf("%s: %q, want %q", row.body, got, row.want)
		}
	}
}

var (
	tablesInSQL = regexp.MustCompile(`(?i)\b(?:from|join|into|update|table|truncate)\s+(?:only\s+)?([a-z_]+)`)
	entCalls    = []string{"Query", "Get", "GetX", "Create", "CreateBulk", "MapCreateBulk", "Update", "UpdateOne", "UpdateOneID", "Delete", "DeleteOne", "DeleteOneID"}
)

func trespasses(s source) (faults []string) {
	own := s.module()
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind != token.STRING || strings.HasSuffix(s.path, "schema.go") {
				return true
			}
			for _, m := range tablesInSQL.FindAllStringSubmatch(n.Value, -1) {
				if owner, known := owners[m[1]]; known && owner != own && looksLikeSQL(n.Value) {
					faults = append(faults, fmt.Sprintf("SQL touches %s of %s", m[1], owner))
				}
			}
		case *ast.SelectorExpr:
			inner, ok := n.X.(*ast.SelectorExpr)
			if !ok || !slices.Contains(entCalls, n.Sel.Name) {
				return true
			}
			if owner, known := entities[inner.Sel.Name]; known && owner != own {
				faults = append(faults, fmt.Sprintf("ent touches %s of %s", inner.Sel.Name, owner))
			}
		}
		return true
	})
	return faults
}

// looksLikeSQL tells a statement from prose that happens to say "from users".
func looksLikeSQL(literal string) bool {
	return regexp.MustCompile(`(?i)^["` + "`" + `]\s*(select|insert|update|delete|with|truncate|lock)\b`).MatchString(literal)
}

// Every table in the migrations has an owner here.
func TestEveryTableHasAnOwner(t *testing.T) {
	t.Parallel()
	for _, table := range tablesOfMigrations(t) {
		if owners[table] == "" {
			t.Errorf("nobody owns %s", table)
		}
	}
}
