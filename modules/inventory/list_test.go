package inventory

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// walk follows nextCursor and Link to the end.
func (f *front) walk(target string, headers ...string) (all []map[string]any) {
	f.t.Helper()
	for target != "" {
		got := f.ask("GET "+target, "", headers...)
		if got.status != 200 {
			f.t.Fatalf("%s: %d %s", target, got.status, got.body)
		}
		var page struct {
			Data       []map[string]any
			NextCursor *string
		}
		must(f.t, json.Unmarshal([]byte(got.body), &page))
		all = append(all, page.Data...)
		link := got.Get("Link")
		if (link == "") != (page.NextCursor == nil) {
			f.t.Fatalf("Link %q with nextCursor %v", link, page.NextCursor)
		}
		target, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	return all
}

func (f *front) skus(target string, headers ...string) string {
	f.t.Helper()
	var list []string
	for _, p := range f.walk(target, headers...) {
		list = append(list, p["sku"].(string))
	}
	return strings.Join(list, " ")
}

// SPEC B1, decisions (lists).
func TestList_B1(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.stock(nil, "B-1", "a-1", "a-2", "a-3", "a_3", "gone", "hidden", "z")
	no := false
	name := `50% Änderung_"x"`
	_, err := f.change(t.Context(), f.admin, "hidden", always, change{active: &no, name: &name})
	must(t, err)
	must(t, f.remove(t.Context(), "gone", always))

	for _, row := range []struct{ query, who, want string }{
		{"limit=2", asUser, "B-1 a-1 a-2 a-3 a_3 z"},
		{"limit=2", "X-Unknown: 1", "B-1 a-1 a-2 a-3 a_3 z"},
		{"limit=3", asAdmin, "B-1 a-1 a-2 a-3 a_3 hidden z"},
		{"limit=3&active=true", asAdmin, "B-1 a-1 a-2 a-3 a_3 z"},
		{"active=false", asUser, ""},
		{"active=false", "X-Unknown: 1", ""},
		{"active=false", asAdmin, "hidden"},
		{"active=false&q=50", asUser, ""},
		{"active=true&q=50", asUser, ""},
		{"active=false", asKey(identity.ProductsRead), ""},
		{"", asKey(identity.ProductsRead), "B-1 a-1 a-2 a-3 a_3 z"},
		{"", asKey(identity.ProductsRead, identity.ProductsWrite), "B-1 a-1 a-2 a-3 a_3 hidden z"},
		{"q=A-&limit=2", asUser, "a-1 a-2 a-3 a_3"},
		{"q=A-1", asUser, "a-1"},
		{"q=the+B", asUser, "B-1"},
		{"q=the+B+b", asUser, "B-1"},
		{"q=the+B+x", asUser, ""},
		{"q=_3", asUser, "a-3 a_3"},
		{"q=50%25", asAdmin, "hidden"},
		{"q=änd", asAdmin, "hidden"},
		{"q=A%CC%88NDERUNG", asAdmin, "hidden"},
		{"q=%22x%22+5", asAdmin, "hidden"},
		{"q=50%25", asUser, ""},
		{"q=gone", asAdmin, ""},
	} {
		if got := f.skus("/v1/products?"+row.query, row.who); got != row.want {
			t.Errorf("%s for %s: %q, want %q", row.query, row.who, got, row.want)
		}
	}
	f.run([]row{
		{"GET /v1/products?q=nothing", "", nil, 200, `{"data":[],"nextCursor":null}`},
		{"GET /v1/products?q=-", "", nil, 400, `"/query/q","code":"no-word"`},
		{"GET /v1/products?q=-%20-", "", nil, 400, `"/query/q","code":"no-word"`},
		{"GET /v1/products?q=%25", "", nil, 400, `"/query/q","code":"no-word"`},
		{"GET /v1/products?q=", "", nil, 400, `"/query/q","code":"no-word"`},
		{"GET /v1/products?active=false", "", nil, 200, `{"data":[],"nextCursor":null}`},
		{"GET /v1/products/hidden", "", nil, 404, `"not-found"`},
		{"GET /v1/products/hidden", "", []string{asUser}, 404, `"not-found"`},
		{"GET /v1/products/hidden", "", []string{asKey(identity.ProductsRead)}, 404, `"not-found"`},
		{"GET /v1/products/hidden", "", []string{asKey(identity.ProductsRead, identity.ProductsWrite)}, 200, `"active":false`},
		{"GET /v1/products/hidden", "", []string{asAdmin}, 200, `"active":false`},
	})
}

// SPEC G2: a page of a search looks at one window, and walking finds everything.
func TestSearchIsBounded_G2(t *testing.T) {
	t.Parallel()
	f := open(t)
	_, err := f.pool.Exec(t.Context(), `
		insert into products (sku, name, unit_price, currency, created_at, updated_at)
		select 'p' || to_char(n, 'FM000000'), case when n % 5000 = 4999 then 'needle' else 'hay' end, 1, 'EUR', now(), now()
		from generate_series(1, 12000) n`)
	must(t, err)

	if got := f.skus("/v1/products?q=NEEDLE"); got != "p004999 p009999" {
		t.Errorf("found %q", got)
	}
	pages := 0
	for cursor := ""; pages < 10; pages++ {
		_, next, err := f.list(t.Context(), filter{text: "needle", after: cursor, limit: 20})
		must(t, err)
		if next == "" {
			break
		}
		cursor = next
	}
	if pages != 2 {
		t.Errorf("%d pages before the last, for 12,000 products", pages)
	}
}
