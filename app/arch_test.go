package app

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orderflow-dev/orderflow/migrations"
)

// owners tells whose table is whose: the second word of the name of the migration that
// creates it, as in 6_orders_orders.sql. Packages of the platform share one owner.
var owners = sync.OnceValue(func() map[string]string {
	tables, err := migrations.Tables(migrations.Files())
	if err != nil {
		panic(err)
	}
	for table, file := range tables {
		owner := strings.Split(strings.TrimSuffix(file, ".sql"), "_")[1]
		if isFolder("../platform/" + owner) {
			owner = "platform"
		}
		tables[table] = owner
	}
	return tables
})

// entities tells which module's rows a method of the ent client reads and writes: ent/schema
// has a type for each, which embeds that of the module.
var entities = sync.OnceValue(func() map[string]string {
	files, err := filepath.Glob("../ent/schema/*.go")
	if err != nil || len(files) == 0 {
		panic(fmt.Sprint("no entities ", err))
	}
	list := map[string]string{}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			panic(err)
		}
		owner := source{path, f}.schemaOf()
		for _, d := range f.Decls {
			if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.TYPE {
				list[d.Specs[0].(*ast.TypeSpec).Name.Name] = owner
			}
		}
	}
	return list
})

// schemaOf is the module of which a file imports the schema.
func (s source) schemaOf() (module string) {
	for _, path := range s.imports() {
		if rest, ok := strings.CutPrefix(path, "github.com/orderflow-dev/orderflow/modules/"); ok {
			module, _, _ = strings.Cut(rest, "/")
		}
	}
	return module
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
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

// The permitted imports: app -> modules -> ent, platform, internal; app -> config, migrations.
func TestImports(t *testing.T) {
	t.Parallel()
	rules := []struct{ dir, forbidden, except string }{
		{"modules", `^github.com/orderflow-dev/orderflow/(app|config|migrations|bench)`, ""},
		{"platform", `^github.com/orderflow-dev/orderflow/(app|config|migrations|bench|modules|ent)`, ""},
		{"internal", `^github.com/orderflow-dev/orderflow/(app|config|migrations|bench|modules|ent)`, ""},
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
	"modules/notifications/socket.go":    "speaks WebSocket on a connection that HTTP has handed over",
	"modules/webhooks/post.go":           "posts to the receivers",
	"modules/orders/httpstep/post.go":    "posts to the service of a step",
	"modules/payments/stripe/stripe.go":  "calls the provider",
	"modules/payments/stripe/errors.go":  "reads the provider's statuses",
	"modules/payments/simulated/dial.go": "calls the simulated provider in another process",
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
	for _, dir := range []string{
		"internal/canonical", "internal/clientaddr",
		"platform/batch", "platform/events", "platform/fault", "platform/idempotency", "platform/identity", "platform/jsontime", "platform/money",
	} {
		for _, s := range sources(t, dir) {
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
				if owner, known := owners()[m[1]]; known && owner != own && looksLikeSQL(n.Value) {
					faults = append(faults, fmt.Sprintf("SQL touches %s of %s", m[1], owner))
				}
			}
		case *ast.SelectorExpr:
			inner, ok := n.X.(*ast.SelectorExpr)
			if !ok || !slices.Contains(entCalls, n.Sel.Name) {
				return true
			}
			if owner, known := entities()[inner.Sel.Name]; known && owner != own {
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

// Every table and every entity belongs to a module or to the platform: the names of the
// migrations and the imports in ent/schema say so.
func TestEveryTableHasAnOwner(t *testing.T) {
	t.Parallel()
	for table, owner := range owners() {
		if owner != "platform" && !isFolder("../modules/"+owner) {
			t.Errorf("the table %s belongs to %q: name the migration NUMBER_MODULE_WHAT.sql, after the module or the package of the platform", table, owner)
		}
	}
	for entity, owner := range entities() {
		if !isFolder("../modules/" + owner) {
			t.Errorf("the entity %s belongs to %q: embed the schema of a module in it", entity, owner)
		}
	}
}
