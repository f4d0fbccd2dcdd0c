package app

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// SPEC A5: docs/security.md has the table of TestNothingOutlivesItsRight.
func TestSecurityListsWhatOutlivesARequest_A5(t *testing.T) {
	t.Parallel()
	const path, head = "../docs/security.md", "| resource | opened by | when it is checked again | result if the permission has ended |\n|---|---|---|---|\n"
	var lines []string
	for _, o := range outliving {
		var by []string
		for _, name := range o.operations {
			if !strings.Contains(name, " ") {
				name = "`" + name + "`"
			}
			by = append(by, name)
		}
		lines = append(lines, "| "+o.name+" | "+strings.Join(by, ", ")+" | "+o.checked+" | "+o.result+" |")
	}
	golden.CheckTable(t, path, head, lines)
}

// SPEC A5: what can outlive a request is in the table: routes that stream or wait, jobs, and tables of
// what expires.
func TestWhatOutlivesARequestIsListed_A5(t *testing.T) {
	t.Parallel()
	var operations, jobs, tables []string
	for _, o := range outliving {
		operations, jobs, tables = append(operations, o.operations...), append(jobs, o.jobs...), append(tables, o.tables...)
		if o.open == nil || o.checked == "" || o.result == "" {
			t.Errorf("the entry of %q is not complete", o.name)
		}
	}

	api := described()
	for _, name := range operations {
		if !strings.Contains(name, " ") && !slices.ContainsFunc(api.Routes(), func(r web.Route) bool { return r.Name == name }) {
			t.Errorf("there is no operation %s", name)
		}
	}
	for _, r := range api.Routes() {
		get := api.OpenAPI().Paths[r.Path].Get
		waits := r.Method == http.MethodGet && slices.ContainsFunc(get.Parameters, func(p *huma.Param) bool { return p.Name == "wait" })
		if (waits || r.Produces != "") && !slices.Contains(operations, r.Name) {
			t.Errorf("%s %s (%s) streams or waits: add it to the list outliving", r.Method, r.Path, r.Name)
		}
	}
	for _, kind := range jobKinds(t) {
		if !slices.Contains(jobs, kind) && systemJobs[kind] == "" {
			t.Errorf("add the jobs %s to the list outliving if they act for a caller, and to systemJobs if not", kind)
		}
	}
	for _, table := range tablesThatExpire(t) {
		if !slices.Contains(tables, table) {
			t.Errorf("rows of %s expire: add the table to the list outliving", table)
		}
	}
}

// jobKinds are the kinds of all jobs that the source declares.
func jobKinds(t *testing.T) (kinds []string) {
	t.Helper()
	named := regexp.MustCompile(`(?m)^(?:const )?\s*(\w+Kind) *= "(\w+)"`)
	declared := regexp.MustCompile(`Kind\(\) string \{ return (\w+|"\w+") \}`)
	for _, root := range []string{"../modules", "../platform", "../app"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if declared.Match(raw) {
				for _, m := range named.FindAllSubmatch(raw, -1) {
					kinds = append(kinds, string(m[2]))
				}
				for _, m := range declared.FindAllSubmatch(raw, -1) {
					if literal, is := strings.CutPrefix(string(m[1]), `"`); is {
						kinds = append(kinds, strings.TrimSuffix(literal, `"`))
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(kinds) < 3 {
		t.Fatalf("found only the jobs %v", kinds)
	}
	return kinds
}

// tablesThatExpire are the product's tables with a time at which a row ends.
func tablesThatExpire(t *testing.T) []string {
	t.Helper()
	db, err := pgxpool.New(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	rows, err := db.Query(t.Context(), `
		select table_name from information_schema.columns
		where table_schema = 'public' and column_name = 'expires_at' and table_name not like 'river%' order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 4 {
		t.Fatalf("found only the tables %v: %v", tables, err)
	}
	return tables
}
