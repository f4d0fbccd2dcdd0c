package web

import (
	"context"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// each registers a route that tells what became of every item.
func (b *bundle) each() {
	Handle(b.api, Route{Method: "POST", Path: "/v1/each", Name: "each", Role: identity.Anyone},
		func(ctx context.Context, in *struct {
			Body struct {
				Mode  string               `json:"mode,omitempty" enum:"a,b"`
				Lines ItemwiseList[basket] `json:"lines" minItems:"1" maxItems:"4" nullable:"false"`
			}
		}) (*struct{ Body []string }, error) {
			var told []string
			for i := range in.Body.Lines.Len() {
				item, err := in.Body.Lines.Read(ctx, i)
				if f, ok := fault.As(err); ok {
					var at []string
					for _, field := range f.Fields {
						at = append(at, field.Pointer+" "+field.Code)
					}
					told = append(told, strings.Join(at, ", "))
					continue
				}
				told = append(told, item.Items[0].SKU)
			}
			return &struct{ Body []string }{told}, nil
		})
}

// C11: one bad item of many is its own affair, and judged as if it had come alone.
func TestEachItemIsJudgedApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.each()
	const good = `{"items":[{"sku":"A","quantity":1}]}`
	rows := []struct {
		name, body string
		status     int
		want       string
	}{
		{"good", `{"lines":[` + good + `,` + good + `]}`, 200, `["A","A"]`},
		{"schema", `{"lines":[` + good + `,{"items":[{"sku":"a","quantity":0}],"note":"x"}]}`, 200, `["A","/items/0/quantity minimum, /items/0/sku pattern"]`},
		{"decoding", `{"lines":[{"items":[{"sku":"A","quantity":1.5}]},` + good + `]}`, 200, `["/items/0/quantity type","A"]`},
		{"unknown", `{"lines":[{"items":[{"sku":"A","quantity":1}],"x":1},` + good + `]}`, 200, `["/x unknown-field","A"]`},
		{"NUL", `{"lines":[{"items":[{"sku":"A","quantity":1}],"note":"\u0000"},` + good + `]}`, 200, `["/note nul","A"]`},
		{"null member", `{"lines":[{"items":[{"sku":"A","quantity":1}],"note":null},` + good + `]}`, 200, `["/note type","A"]`},
		{"no object", `{"lines":[7,null,` + good + `]}`, 200, `[" type"," type","A"]`},
		{"nothing", `{"lines":[{},` + good + `]}`, 200, `["/items required","A"]`},
		{"empty", `{"lines":[]}`, 422, `"pointer":"/lines","code":"min-items"`},
		{"too many", `{"lines":[` + strings.Repeat(good+",", 4) + `{}]}`, 422, `"pointer":"/lines","code":"max-items"`},
		{"the whole and an item", `{"mode":"c","lines":[{}]}`, 422, `"errors":[{"pointer":"/lines/0/items","code":"required",`},
		{"no list", `{"lines":{}}`, 422, `"pointer":"/lines","code":"type"`},
		{"null", `{"lines":null}`, 422, `"pointer":"/lines"`},
		{"twice", `{"lines":[{"note":"a","note":"b"}]}`, 400, `"code":"duplicate"`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := b.do(t, "POST", "/v1/each", row.body)

			if got.StatusCode != row.status || !strings.Contains(got.body, row.want) {
				t.Errorf("%d %s, want %d %s", got.StatusCode, got.body, row.status, row.want)
			}
		})
	}
}
