package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

const goodItems = `"items":[{"sku":"A","quantity":1}]`

// faults shortens a problem's errors to "pointer code, pointer code".
func faults(t *testing.T, body string) (code, list string) {
	t.Helper()
	var p struct {
		Code   string
		Errors []struct{ Pointer, Code, Message string }
	}
	if err := json.Unmarshal([]byte(body), &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, e := range p.Errors {
		if e.Message == "" || strings.Contains(e.Message, "Go ") || strings.Contains(e.Message, "int64") {
			t.Errorf("message %q", e.Message)
		}
		list += fmt.Sprintf(", %s %s", e.Pointer, e.Code)
	}
	return p.Code, strings.TrimPrefix(list, ", ")
}

func TestBodies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := []struct {
		name, body string
		status     int
		code, list string
	}{
		{"good", `{` + goodItems + `,"cleared":null,"password":"a\u0000b"}`, 201, "", ""},
		{"big number kept", `{` + goodItems + `,"big":9007199254740993}`, 201, "", ""},
		{"empty", ``, 400, "malformed", ""},
		{"blank", `  `, 400, "malformed", ""},
		{"not JSON", `items=1`, 400, "malformed", ""},
		{"truncated", `{"items":[`, 400, "malformed", ""},
		{"trailing", `{` + goodItems + `} {}`, 400, "malformed", ""},
		{"trailing garbage", `{` + goodItems + `}x`, 400, "malformed", ""},
		{"duplicate", `{"note":"a","note":"b",` + goodItems + `}`, 400, "malformed", "/note duplicate"},
		{"bad UTF-8", "{\"note\":\"\xff\"," + goodItems + "}", 400, "malformed", ""},
		{"lone surrogate", `{"note":"\ud800",` + goodItems + `}`, 400, "malformed", ""},
		{"deep", strings.Repeat("[", 100000), 400, "malformed", ""},
		{"deep object", strings.Repeat(`{"a":`, 20000), 400, "malformed", ""},
		{"array", `[]`, 422, "invalid", " type"},
		{"null", `null`, 422, "invalid", " type"},
		{"everything at once", `{"items":[{"sku":"a b","quantity":0},{"quantity":1}],"note":"012345678901234567890","mode":"x","extra":1}`, 422, "invalid",
			"/extra unknown-field, /items/0/quantity minimum, /items/0/sku pattern, /items/1/sku required, /mode enum, /note max-length"},
		{"missing", `{}`, 422, "invalid", "/items required"},
		{"no items", `{"items":[]}`, 422, "invalid", "/items min-items"},
		{"other case", `{"items":[{"sku":"A","QUANTITY":5}]}`, 422, "invalid", "/items/0/QUANTITY unknown-field, /items/0/quantity required"},
		{"other case beside", `{"items":[{"sku":"A","quantity":1,"Quantity":-5}]}`, 422, "invalid", "/items/0/Quantity unknown-field"},
		{"fraction", `{"items":[{"sku":"A","quantity":1.5}]}`, 422, "invalid", "/items/0/quantity type"},
		{"tenth", `{"items":[{"sku":"A","quantity":1e-1}]}`, 422, "invalid", "/items/0/quantity minimum, /items/0/quantity type"},
		{"huge", `{"items":[{"sku":"A","quantity":1e400}]}`, 422, "invalid", "/items/0/quantity maximum, /items/0/quantity type"},
		{"beyond 64 bits", `{` + goodItems + `,"big":99999999999999999999}`, 422, "invalid", "/big type"},
		{"beyond -64 bits", `{` + goodItems + `,"big":-99999999999999999999}`, 422, "invalid", "/big type"},
		{"beyond int64", `{` + goodItems + `,"big":9223372036854775808}`, 422, "invalid", "/big type"},
		{"beyond int32", `{` + goodItems + `,"small":3000000000}`, 422, "invalid", "/small type"},
		{"text for a number", `{"items":[{"sku":"A","quantity":"1"}]}`, 422, "invalid", "/items/0/quantity type"},
		{"null list", `{"items":null}`, 422, "invalid", "/items type"},
		{"null member", `{` + goodItems + `,"note":null}`, 422, "invalid", "/note type"},
		{"null pointer", `{` + goodItems + `,"ref":null,"metadata":{"a":null}}`, 422, "invalid", "/metadata/a type, /ref type"},
		{"null item", `{"items":[null]}`, 422, "invalid", "/items/0 type"},
		{"NUL", `{` + goodItems + `,"note":"a\u0000"}`, 422, "invalid", "/note nul"},
		{"NUL in free", `{` + goodItems + `,"free":{"a":["\u0000"]}}`, 422, "invalid", "/free/a/0 nul"},
		{"NUL in a name", `{` + goodItems + `,"metadata":{"a\u0000":"b"}}`, 422, "invalid", "/metadata/a\x00 nul"},
		{"dots in names", `{` + goodItems + `,"metadata":{"a.b/c~d[0]":1,"e":2}}`, 422, "invalid", "/metadata/a.b~1c~0d[0] type, /metadata/e type"},
		{"unknown dots", `{` + goodItems + `,"x.y":1}`, 422, "invalid", "/x.y unknown-field"},
		{"unhashable", `{` + goodItems + `,"tags":[{}]}`, 422, "invalid", "/tags/0 type"},
		{"not unique", `{` + goodItems + `,"tags":["a","a"]}`, 422, "invalid", "/tags unique"},
		{"not a UUID", `{` + goodItems + `,"owner":"7"}`, 422, "invalid", "/owner format"},
		{"free takes null", `{` + goodItems + `,"free":null}`, 201, "", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			got := b.do(t, "POST", "/v1/baskets", row.body, "X-Role", "user")

			if got.StatusCode != row.status {
				t.Fatalf("%d %s", got.StatusCode, got.body)
			}
			if row.status == http.StatusCreated {
				return
			}
			if code, list := faults(t, got.body); code != row.code || list != row.list {
				t.Errorf("%s: %s\n%s", code, list, got.body)
			}
		})
	}
}

// API4:2023, ASVS 5.0 15.2.2: a body costs no more than its size, with any
// fault. Without bounds a megabyte of commas took gigabytes and seconds.
func TestManyFaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	Handle(b.api, Route{Method: "POST", Path: "/v1/many", Name: "many", Role: identity.Anyone, MaxBody: 2 << 20},
		func(context.Context, *struct {
			Body struct {
				Items ItemwiseList[line] `json:"items" minItems:"1" maxItems:"1000" nullable:"false"`
			}
		}) (*struct{}, error) {
			return nil, nil
		})
	fill := func(before, each, after string) string {
		return before + strings.Repeat(each, ((250<<10)-len(before+after))/len(each)) + after
	}
	for name, row := range map[string]struct {
		path, body string
		status     int
		least      int // of the errors that are listed
	}{
		"numbers":            {"/v1/baskets", fill(`{"items":[`, `1,`, `1]}`), 413, 0},
		"arrays":             {"/v1/baskets", fill(`{"items":[`, `[],`, `1]}`), 413, 0},
		"items":              {"/v1/baskets", fill(`{"items":[`, `{"quantity":"a long way off, and further still"},`, `1]}`), 422, maxFaults},
		"items apart":        {"/v1/many", fill(`{"items":[`, `{},`, `1]}`), 422, 10 * maxFaults},
		"unique items":       {"/v1/baskets", fill(`{"items":[],"tags":["a",`, `{"a long name":"and as much behind it"},`, `1]}`), 422, maxFaults},
		"NUL in a long name": {"/v1/baskets", fill(`{"items":[],"free":{"`+strings.Repeat("x", 100<<10)+`":[`, `"\u0000 and more",`, `1]}}`), 422, 4},
		"items of one kind":  {"/v1/baskets", `{` + goodItems + `,"free":[` + strings.Repeat(`1,`, 10_000) + `1]}`, 201, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.do(t, "POST", row.path, row.body, "X-Role", "user")

			if listed := strings.Count(got.body, `"pointer"`); got.StatusCode != row.status || listed < row.least || listed > max(row.least, 10) || len(got.body) > 2<<20 {
				t.Errorf("%d with %d errors and %d bytes: %.300s", got.StatusCode, listed, len(got.body), got.body)
			}
		})
	}
}

func TestGoodBodyIsEchoedExactly(t *testing.T) {
	t.Parallel()

	got := setup(t).do(t, "POST", "/v1/baskets", `{`+goodItems+`,"big":9007199254740993,"metadata":{"b":"2","a":"1"}}`, "X-Role", "user",
		"Content-Type", "application/json; charset=UTF-8", "Accept", "json")

	const want = `{"items":[{"sku":"A","quantity":1}],"cleared":null,"metadata":{"a":"1","b":"2"},"small":0,"big":9007199254740993}`
	if got.body != want || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s\nwant %s", got.body, want)
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := []struct {
		target string
		status int
		list   string
		header []string
	}{
		{"/v1/baskets", 200, "", nil},
		{"/v1/baskets?status=PENDING&status=CONFIRMED&limit=100&cursor=&q=&createdFrom=2026-01-01T00:00:00%2B02:00", 200, "", nil},
		{"/v1/baskets?limit=0", 400, "/query/limit minimum", nil},
		{"/v1/baskets?limit=101", 400, "/query/limit maximum", nil},
		{"/v1/baskets?limit=x&status=NO&bogus=1&createdFrom=yesterday", 400,
			"/query/bogus unknown-parameter, /query/createdFrom format, /query/limit type, /query/status enum", nil},
		{"/v1/baskets?limit=", 400, "/query/limit invalid", nil},
		{"/v1/baskets?limit=1&limit=2", 400, "/query/limit repeated", nil},
		{"/v1/baskets?q=%00", 400, "/query/q nul", nil},
		{"/v1/baskets?q=%ff", 400, "/query/q invalid", nil},
		{"/v1/baskets?q=%zz", 400, "/query malformed", nil},
		{"/v1/baskets?a;b", 400, "/query malformed", nil},
		{"/v1/baskets?Limit=3", 400, "/query/Limit unknown-parameter", nil},
		{"/v1/baskets", 400, "/header/Idempotency-Key max-length", []string{"Idempotency-Key", "123456"}},
		{"/v1/baskets", 400, "/header/Idempotency-Key invalid", []string{"Idempotency-Key", ""}},
		{"/v1/baskets?createdFrom=9999-12-31T23:59:59-01:00", 400, "/query/createdFrom format", nil},
		{"/v1/baskets?createdFrom=0000-01-01T00:00:00%2B01:00", 400, "/query/createdFrom format", nil},
		{"/v1/baskets/7", 400, "/path/id format", []string{"X-Role", "admin"}},
		{"/v1/baskets/7?x=1", 400, "/path/id format, /query/x unknown-parameter", []string{"X-Role", "admin"}},
		{"/v1/text/a%20b", 200, "", nil},
		{"/v1/text/%00", 400, "/path/text nul", nil},
		{"/v1/text/%zz", 400, "/path/text malformed", nil},
		{"/v1/text/%zz?x=%zz", 400, "/path/text malformed, /query malformed", nil},
		{"/v1/stream?x=1", 400, "/query/x unknown-parameter", []string{"X-Role", "user"}},
		{"/v1/stream?kind=a&kind=b", 200, "", []string{"X-Role", "user"}},
		{"/v1/stream?kind=abcd&id=7", 400, "/query/id format, /query/kind max-length", []string{"X-Role", "user"}},
		{"/v1/stream?kind=a&kind=b&kind=c", 400, "/query/kind max-items", []string{"X-Role", "user"}},
	}
	for _, row := range rows {
		t.Run(row.target, func(t *testing.T) {
			t.Parallel()

			got := b.do(t, "GET", row.target, "", row.header...)

			if got.StatusCode != row.status {
				t.Fatalf("%d %s", got.StatusCode, got.body)
			}
			if row.status == http.StatusBadRequest {
				if code, list := faults(t, got.body); code != "malformed" || list != row.list {
					t.Errorf("%s: %s\n%s", code, list, got.body)
				}
			}
		})
	}
}

// R2: a list has its data and the cursor of the next page.
func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)

	full := b.do(t, "GET", "/v1/baskets?cursor=old&status=PENDING&createdFrom=2026-01-01T00:00:00%2B02:00", "")
	empty := b.do(t, "GET", "/v1/empty", "")

	next := EncodeCursor("x")
	if want := `{"data":["2025-12-31T22:00:00.000Z","PENDING"],"nextCursor":"` + next + `"}`; full.body != want {
		t.Errorf("%s, want %s", full.body, want)
	}
	want := `</v1/baskets?createdFrom=2026-01-01T00%3A00%3A00%2B02%3A00&cursor=` + next + `&status=PENDING>; rel="next"`
	if link := full.Header.Get("Link"); link != want {
		t.Errorf("Link %s\nwant %s", link, want)
	}
	if empty.body != `{"data":[],"nextCursor":null}` || empty.Header.Get("Link") != "" {
		t.Errorf("%s %v", empty.body, empty.Header)
	}
}
