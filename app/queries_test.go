package app

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// statement is SQL at the beginning of a string literal, and not the summary of a route.
var statement = regexp.MustCompile("^[\"`]\\s*(select |insert into |update [a-z_]+ (as [a-z]+ |[a-z]+ )?set |delete from |with [a-z_]+ (as |\\())")

const entPackage = "github.com/orderflow-dev/orderflow/ent"

// entityOwners maps the package of each generated entity to the module that declares its schema,
// as ent/schema says.
func entityOwners(t *testing.T) map[string]string {
	t.Helper()
	owners := map[string]string{}
	for _, s := range sources(t, "ent/schema") {
		for _, imported := range s.imports() {
			rest, ok := strings.CutPrefix(imported, "github.com/orderflow-dev/orderflow/modules/")
			if !ok {
				continue
			}
			module, _, _ := strings.Cut(rest, "/")
			for _, decl := range s.file.Decls {
				if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.TYPE {
					for _, spec := range g.Specs {
						owners[strings.ToLower(spec.(*ast.TypeSpec).Name.Name)] = module
					}
				}
			}
		}
	}
	return owners
}

// ADR 19: a query stands in the module that owns its tables, and never at the HTTP edge.
func TestQueriesStandWhereTheyBelong(t *testing.T) {
	t.Parallel()
	owners := entityOwners(t)
	if owners["webhookdelivery"] != "webhooks" || owners["order"] != "orders" {
		t.Fatalf("the owners of the entities are %v", owners)
	}
	for _, dir := range []string{"modules", "app"} {
		for _, s := range sources(t, dir) {
			for _, fault := range misplaced(s, owners) {
				t.Errorf("%s %s; see docs/adr/0019-where-a-query-belongs.md", s.path, fault)
			}
		}
	}
}

// misplaced names the queries of a file that belong elsewhere.
func misplaced(s source, owners map[string]string) (faults []string) {
	base := path.Base(s.path)
	edge := base == "http.go" || strings.HasSuffix(base, "_http.go")
	laws := s.module() == "" && strings.HasPrefix(base, "verify")
	for _, imported := range s.imports() {
		entity, ok := strings.CutPrefix(imported, entPackage+"/")
		switch owner := owners[entity]; {
		case !ok:
		case edge:
			faults = append(faults, "is part of the HTTP edge and imports ent/"+entity)
		case owner != "" && owner != s.module() && !laws:
			faults = append(faults, fmt.Sprintf("imports ent/%s of %s", entity, owner))
		}
	}
	if !edge && (s.module() != "" || laws) {
		return faults
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING && statement.MatchString(n.Value) {
				faults = append(faults, "contains SQL")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "ent" && (n.Sel.Name == "On" || n.Sel.Name == "NewClient") {
				faults = append(faults, "makes an ent client")
			}
		}
		return true
	})
	return faults
}

// The check above sees each of its cases.
func TestMisplacedQueriesAreSeen(t *testing.T) {
	t.Parallel()
	owners := map[string]string{"order": "orders", "user": "users"}
	rows := []struct{ path, imports, body, want string }{
		{"modules/users/store.go", "ent/user", "q(`select 1`); ent.On(q)", ""},
		{"modules/users/store.go", "ent/order", "", "imports ent/order of orders"},
		{"modules/users/http.go", "ent/user", "", "is part of the HTTP edge and imports ent/user"},
		{"modules/users/me_http.go", "ent/predicate", "", "is part of the HTTP edge and imports ent/predicate"},
		{"modules/users/http.go", "ent", "q(`select 1`)", "contains SQL"},
		{"modules/users/http.go", "ent", "ent.On(q)", "makes an ent client"},
		{"app/verify_stock.go", "ent/order", "q(`select 1`)", ""},
		{"app/welcome.go", "ent/order", "q(`select 1`)", "imports ent/order of orders; contains SQL"},
	}
	for _, row := range rows {
		src := "package x\nimport \"github.com/orderflow-dev/orderflow/" + row.imports + "\"\nfunc f() {\n" + row.body + "\n}\n"
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}

		got := strings.Join(misplaced(source{row.path, f}, owners), "; ")

		if got != row.want {
			t.Errorf("%s, %s, %s: %q, want %q", row.path, row.imports, row.body, got, row.want)
		}
	}
}
