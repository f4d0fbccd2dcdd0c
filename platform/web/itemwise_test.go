package web

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

type apartBody struct {
	Mode  string               `json:"mode,omitempty" enum:"a,b"`
	Lines ItemwiseList[basket] `json:"lines" minItems:"1" maxItems:"4" nullable:"false"`
	Free  any                  `json:"free,omitempty"`
}

// apartPlanOf is the plan of a route with a list whose items are judged apart.
func apartPlanOf(t testing.TB, limit int) *plan {
	t.Helper()
	settle()
	schemas := Schemas("#/components/schemas/")
	op := &huma.Operation{
		Path: "/v1/apart", MaxBodyBytes: int64(limit) + 1, Metadata: map[string]any{"apart": "/lines"},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: huma.SchemaFromType(schemas, reflect.TypeFor[apartBody]())},
		}},
	}
	return planOf(op, schemas)
}

// asBefore judges a whole body at once.
func (p *plan) asBefore(raw string) (fields []fault.Field, more bool, err error) {
	parsed, err := parse([]byte(raw), p.limit)
	if err != nil {
		return nil, false, err
	}
	fields, more = validate(p.schemas, p.body, parsed, p.mostFaults())
	return sortAndDeduplicate(fields), more, nil
}

func bodiesApart() []string {
	good := `{"items":[{"sku":"A","quantity":1}]}`
	list := []string{
		`{}`, `[]`, `7`, `null`, `"x"`, `{"lines":null}`, `{"lines":{}}`, `{"lines":7,"x":1}`, `{"lines":[]}`, `{"lines":[` + good + `]}`,
		` { "lines" : [ ` + good + ` , ` + good + ` ] , "mode" : "a" } `, `{"mode":"c","lines":[` + good + `,{}]}`, `{"mode":null,"lines":[` + good + `]}`,
		`{"lines":[` + strings.Repeat(good+",", 5) + `{"x":1}]}`, `{"lines":[7,null,"x",[],{}]}`, `{"lines":[{"items":[{"sku":"a","quantity":0}],"note":null,"y/z~":1}]}`,
		`{"lines":[` + good + `],"lines":[]}`, `{"lines":[` + good + `],"\u006cines":[]}`, `{"lines":[{"note":"a","note":"b"}]}`, `{"mode":"a","mode":"a","lines":[]}`,
		`{"free":{"a":1,"a":2},"lines":[` + good + `]}`, `{"free":{"b":"\u0000","c\u0000":1},"lines":[` + good + `]}`, `{"nul\u0000":1,"lines":[` + good + `]}`,
		`{"lines":[{"items":[{"sku":"A","quantity":1}],"note":"\u0000","password":"\u0000","big":99999999999999999999}]}`,
		`{"lines":[{"items":[{"sku":"A","quantity":1}],"tags":[{},[]],"owner":"x"}]}`, `{"lines":[` + good + `]} x`, `{"lines":[` + good + `]`, `{"lines":[` + good, `{"lines"`, `{`, `{"lines":[` + good + `,]}`,
		`{"lines":[{"note":` + "\"\xff\"" + `}]}`, `{"` + "\xff" + `":1}`, `{lines:[]}`, `{"lines":[` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `]}`,
		`{"free":` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + `,"lines":[` + good + `]}`, `{"free":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `,"lines":[` + good + `]}`,
		`{"free":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `,"lines":[` + good + `]}`,
		`{"lines":[{"items":[{"sku":"A","quantity":1}],"free":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}]}`,
		`{"lines":[{"items":[{"sku":"A","quantity":1}],"free":` + strings.Repeat("[", 61) + strings.Repeat("]", 61) + `}]}`,
		`{"lines":[{"items":[{"sku":"A","quantity":1}],"free":` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + `}]}`,
		`{"LINES":[` + good + `],"Mode":"a"}`, `{"lines":[` + good + `],"a.b":1,"c[0]":{"d":2}}`, `{"lines":[{"a.b":1,"c[0]":{"d":2}}]}`, "\ufeff{}", `{"lines":[` + good + `],}`,
	}
	for i := range good { // and each of its beginnings, and with something else in each place
		list = append(list, `{"lines":[`+good[:i]+`]}`, `{"lines":[`+good[:i]+`null`+good[i:]+`]}`, `{"lines":[`+good[:i]+good[i+1:]+`]}`)
	}
	return list
}

// C11: a body that is judged item by item is refused for what it was refused for as a
// whole, in the same words and order, and its items are what came.
func TestSortedOutIsJudgedAlike(t *testing.T) {
	t.Parallel()
	p := apartPlanOf(t, BodyLimit)
	for _, raw := range bodiesApart() {
		want, wantMore, wantErr := p.asBefore(raw)

		got, err := p.split([]byte(raw))

		if gotErr := nearly(err); gotErr != nearly(wantErr) {
			t.Errorf("%s\n got %v\nwant %v", raw, gotErr, wantErr)
		}
		if fields := sortAndDeduplicate(got.fields); err == nil && (!slices.Equal(fields, want) || got.more != wantMore) {
			t.Errorf("%s\n got %v\nwant %v", raw, fields, want)
		}
		if err != nil {
			continue
		}
		var whole, outline struct{ Lines []json.RawMessage }
		if json.Unmarshal([]byte(raw), &whole) != nil || len(want) > 0 {
			continue
		}
		if json.Unmarshal(got.outline, &outline) != nil || len(outline.Lines) != len(whole.Lines) || len(got.items) != len(whole.Lines) {
			t.Fatalf("%s: %s, %s", raw, got.outline, got.items)
		}
		for i, item := range whole.Lines {
			if string(got.items[i]) != string(item) {
				t.Errorf("%s: item %d is %s", raw, i, got.items[i])
			}
		}
	}
}

// nearly is what an error says but for the byte near which it is, for which two ways of
// reading have two opinions.
func nearly(err error) string {
	text, _, _ := strings.Cut(fmt.Sprint(err), ", near byte")
	return text
}

func FuzzSortOut(f *testing.F) {
	for _, raw := range bodiesApart() {
		f.Add(raw)
	}
	p := apartPlanOf(f, BodyLimit)
	f.Fuzz(func(t *testing.T, raw string) {
		want, _, wantErr := p.asBefore(raw)
		got, err := p.split([]byte(raw))
		if (err == nil) != (wantErr == nil) || err == nil && !slices.Equal(sortAndDeduplicate(got.fields), want) {
			t.Errorf("%q\n got %v %v\nwant %v %v", raw, got.fields, err, want, wantErr)
		}
	})
}

// API4:2023, ASVS 5.0 15.2.2: an item is bounded as a body that comes alone is, and so is
// what stands beside the list.
func TestLargeItemsAreNotLookedInto(t *testing.T) {
	t.Parallel()
	b := setup(t)
	Handle(b.api, Route{Method: "POST", Path: "/v1/apart", Name: "apart", Role: identity.Anyone, MaxBody: 2 << 20},
		func(ctx context.Context, in *struct{ Body apartBody }) (*struct{ Body []string }, error) {
			var told []string
			for i := range in.Body.Lines.Len() {
				_, err := in.Body.Lines.Read(ctx, i)
				if f, ok := fault.As(err); ok {
					told = append(told, f.Fields[0].Pointer+" "+f.Fields[0].Code)
				} else {
					told = append(told, "good")
				}
			}
			return &struct{ Body []string }{told}, nil
		})
	const good = `{"items":[{"sku":"A","quantity":1}]}`
	var members strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&members, `"%x":1,`, i)
	}
	for name, row := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"members":    {`{"lines":[{"free":{` + members.String() + `"x":1}},` + good + `]}`, 200, `[" too-large","good"]`},
		"values":     {`{"lines":[{"free":[` + strings.Repeat("1,", 20_000) + `1]},` + good + `]}`, 200, `[" too-large","good"]`},
		"duplicates": {`{"lines":[{"free":{` + members.String() + `"0":1}},` + good + `]}`, 200, `[" too-large","good"]`},
		"a string":   {`{"lines":[` + good + `,{"note":"` + strings.Repeat(`\u0041`, 100_000) + `"}]}`, 200, `["good"," too-large"]`},
		"a number":   {`{"lines":[` + good + `,` + strings.Repeat(`1`, 300_000) + `]}`, 200, `["good"," too-large"]`},
		"beside":     {`{"free":{` + members.String() + `"x":1},"lines":[` + good + `]}`, 413, `"code":"too-large"`},
		"unknown":    {`{` + members.String() + `"lines":[` + good + `]}`, 413, `"code":"too-large"`},
		"all values": {`{"lines":[` + strings.Repeat("0,", 200_000) + `0]}`, 413, `"code":"too-large"`},
		"no list":    {`[` + strings.Repeat("0,", 20_000) + `0]`, 413, `"code":"too-large"`},
		"names":      {`{"lines":[` + good + `,{"items":[{"sku":"A","quantity":1}],"` + strings.Repeat("n", 200_000) + `":1}]}`, 200, `["good","/nnnnnnnn`},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.do(t, "POST", "/v1/apart", row.body)

			if got.StatusCode != row.status || !strings.Contains(got.body, row.want) || len(got.body) > 4<<10 {
				t.Errorf("%d %.300s (%d bytes), want %d %s", got.StatusCode, got.body, len(got.body), row.status, row.want)
			}
		})
	}
}
