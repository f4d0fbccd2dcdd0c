package inventory

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// front is the shop's API without the rest of the product: who asks is in a header.
type front struct {
	*bundle
	app *fiber.App
	api *web.API
}

func open(t *testing.T) *front {
	t.Helper()
	f := &front{bundle: setup(t), app: fiber.New(web.Config())}
	f.app.Use(web.JSONOnly(), func(c *fiber.Ctx) error {
		caller := identity.Caller{UserID: f.admin.UserID, Role: identity.Role(c.Get("X-Role"))}
		if scopes := strings.Fields(c.Get("X-Scopes")); len(scopes) > 0 { // a key of an administrator
			caller.Role, caller.KeyID = identity.Admin, f.admin.UserID
			for _, scope := range scopes {
				caller.Scopes = identity.ScopesOf(append(caller.Scopes.List(), identity.Scope(scope))...)
			}
		}
		if caller.Role != "" {
			c.SetUserContext(identity.NewContext(c.UserContext(), caller))
		}
		return c.Next()
	})
	codes := web.ErrorCodes()
	codes.Add(f.ErrorCodes())
	f.api = web.New(f.app, web.Options{Codes: codes})
	f.Routes(f.api)
	return f
}

type reply struct {
	status int
	http.Header
	body string
}

var volatile = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[\d:.]+Z"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// ask sends "METHOD path" with headers as "Name: value".
func (f *front) ask(what, body string, headers ...string) reply {
	f.t.Helper()
	method, target, _ := strings.Cut(what, " ")
	req := httptest.NewRequest(method, "http://test/", strings.NewReader(body))
	req.RequestURI = target // unchanged, with its escapes
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := f.app.Test(req, -1)
	if err != nil { // some callers are not the test's goroutine
		f.t.Error(err)
		return reply{}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Error(err)
	}
	return reply{res.StatusCode, res.Header, string(raw)}
}

func (r reply) masked() string {
	return volatile.ReplaceAllStringFunc(r.body, func(s string) string {
		if s[0] == '"' {
			return `"TIME"`
		}
		return "ID"
	})
}

const (
	asAdmin = "X-Role: admin"
	asUser  = "X-Role: user"
)

// row is one request with its answer; want is part of the body, with times and ids
// masked.
// asKey is a key of an administrator.
func asKey(scopes ...identity.Scope) string {
	header := "X-Scopes:"
	for _, scope := range scopes {
		header += " " + string(scope)
	}
	return header
}

type row struct {
	what, body string
	headers    []string
	status     int
	want       string
}

func (f *front) run(rows []row) {
	f.t.Helper()
	for _, r := range rows {
		got := f.ask(r.what, r.body, r.headers...)
		if got.status != r.status || !strings.Contains(got.masked(), r.want) {
			f.t.Errorf("%s %s %v\n got %d %s\nwant %d %s", r.what, r.body, r.headers, got.status, got.masked(), r.status, r.want)
		}
	}
}

func of(headers ...string) []string { return headers }

// SPEC B1.
func TestProducts_B1(t *testing.T) {
	t.Parallel()
	f := open(t)
	const price = `"unitPrice":{"amount":1250,"currency":"EUR"}`

	f.run([]row{
		{"POST /v1/products", `{"sku":"cup","name":"Cup",` + price + `,"stock":7}`, of(asAdmin), 201, `{"sku":"cup","name":"Cup",` + price +
			`,"stock":7,"reserved":0,"available":7,"active":true,"version":1,"createdAt":"TIME","updatedAt":"TIME"}`},
		{"POST /v1/products", `{"sku":"cup","name":"Again",` + price + `}`, of(asAdmin), 409, `"code":"sku-taken"`},
		{"POST /v1/products", `{"sku":"off","name":"Off",` + price + `,"active":false}`, of(asAdmin), 201, `"stock":null,"reserved":0,"available":null,"active":false`},
		{"POST /v1/products", `{"sku":"nul","name":"Null",` + price + `,"stock":null}`, of(asAdmin), 201, `"stock":null`},
		{"POST /v1/products", `{"sku":"x","name":"X",` + price + `}`, of(asUser), 403, `"code":"forbidden"`},
		{"POST /v1/products", `{"sku":"x","name":"X",` + price + `}`, nil, 401, `"code":"unauthenticated"`},
		{"GET /v1/products/cup", "", nil, 200, `"available":7`},
		{"GET /v1/products/off", "", of(asAdmin), 200, `"active":false`},
		{"GET /v1/products/none", "", nil, 404, `"code":"not-found"`},
		{"PATCH /v1/products/cup", `{}`, of(asAdmin), 200, `"version":1`},
		{"PATCH /v1/products/cup", `{"name":"Mug"}`, of(asAdmin), 200, `"name":"Mug",` + price + `,"stock":7,"reserved":0,"available":7,"active":true,"version":2`},
		{"PATCH /v1/products/cup", `{"unitPrice":{"amount":1,"currency":"USD"}}`, of(asAdmin), 200, `"unitPrice":{"amount":1,"currency":"USD"}`},
		{"PATCH /v1/products/cup", `{"stock":null}`, of(asAdmin), 200, `"stock":null,"reserved":0,"available":null`},
		{"PATCH /v1/products/cup", `{"stock":3,"active":false}`, of(asAdmin), 200, `"stock":3,"reserved":0,"available":3,"active":false,"version":5`},
		{"PATCH /v1/products/none", `{"stock":3}`, of(asAdmin), 404, `"code":"not-found"`},
		{"PATCH /v1/products/cup", `{"stock":3}`, of(asUser), 403, ``},
		{"DELETE /v1/products/cup", "", nil, 401, ``},
		{"DELETE /v1/products/cup", "", of(asAdmin), 204, ``},
		{"DELETE /v1/products/cup", "", of(asAdmin), 404, ``},
		{"GET /v1/products/cup", "", of(asAdmin), 404, ``},
		{"POST /v1/products", `{"sku":"cup","name":"Back",` + price + `,"stock":2}`, of(asAdmin), 201, `"stock":2,"reserved":0,"available":2,"active":true,"version":7`},
	})
	f.audit()
}

// Everything wrong is named at once, and nothing of it reaches the database.
func TestBadInput_B1_B5(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.stock(new(int64(5)), "a")
	const valid = `"name":"X","unitPrice":{"amount":1,"currency":"EUR"}`
	post := func(body string, status int, want string) row {
		return row{"POST /v1/products", body, of(asAdmin), status, want}
	}
	patch := func(body, want string) row { return row{"PATCH /v1/products/a", body, of(asAdmin), 422, want} }
	adjust := func(body, want string) row {
		return row{"POST /v1/products/a/adjustments", body, of(asAdmin), 422, want}
	}

	f.run([]row{
		post(`{"sku":"","name":"","unitPrice":{"amount":-1,"currency":"eur"},"stock":-1,"odd":1}`, 422, `"/name"`),
		post(`{"sku":"","name":"","unitPrice":{"amount":-1,"currency":"eur"},"stock":-1,"odd":1}`, 422, `"/unitPrice/currency"`),
		post(`{"sku":"..",`+valid+`}`, 422, `"/sku"`),
		post(`{"sku":"h","name":"Mill\u202e","unitPrice":{"amount":1,"currency":"EUR"}}`, 422, `U+202E`),
		patch(`{"name":"Mill\u200b"}`, `U+200B`),
		post(`{"sku":"a b",`+valid+`}`, 422, `"/sku"`),
		post(`{"sku":"`+strings.Repeat("a", 65)+`",`+valid+`}`, 422, `"/sku"`),
		post(`{"sku":"b",`+valid+`,"stock":1000000000001}`, 422, `"/stock"`),
		post(`{"sku":"b",`+valid+`,"stock":1.5}`, 422, `"/stock"`),
		post(`{"sku":"b",`+valid+`,"active":null}`, 422, `"/active"`),
		post(`{"sku":"b","name":"\u0000","unitPrice":{"amount":1,"currency":"EUR"}}`, 422, `"/name"`),
		post(`{"sku":"b","name":"X","unitPrice":{"amount":9223372036854775808,"currency":"EUR"}}`, 422, `"/unitPrice/amount"`),
		post(`{"sku":"b",`, 400, `"malformed"`),
		patch(`{"name":null}`, `"/name"`),
		patch(`{"unitPrice":null}`, `"/unitPrice"`),
		patch(`{"unitPrice":{"amount":5}}`, `"/unitPrice/currency"`),
		patch(`{"active":null}`, `"/active"`),
		patch(`{"active":"yes"}`, `"/active"`),
		patch(`{"stock":"1"}`, `"/stock"`),
		patch(`{"stock":-1}`, `"/stock"`),
		patch(`{"stock":1e30}`, `"/stock"`),
		patch(`{"sku":"b"}`, `"/sku"`),
		adjust(`{"delta":0,"reason":"x"}`, `"/delta"`),
		adjust(`{"delta":1}`, `"/reason"`),
		adjust(`{"delta":1,"reason":""}`, `"/reason"`),
		adjust(`{"delta":9223372036854775807,"reason":"x"}`, `"out-of-range"`),
		adjust(`{"delta":9223372036854775808,"reason":"x"}`, `"/delta"`),
		adjust(`{"delta":999999999996,"reason":"x"}`, `"out-of-range"`),
		{"GET /v1/products?cursor=x", "", nil, 400, `"/query/cursor"`},
		{"GET /v1/products?limit=0", "", nil, 400, `"/query/limit"`},
		{"GET /v1/products?active=maybe", "", nil, 400, `"/query/active"`},
		{"GET /v1/products?color=red", "", nil, 400, `"/query/color"`},
		{"GET /v1/products?q=", "", nil, 400, `"/query/q"`},
		{"GET /v1/products/a/adjustments?cursor=" + web.EncodeCursor("x"), "", of(asAdmin), 400, `"/query/cursor"`},
		{"GET /v1/products/%00", "", nil, 400, ``},
		{"PATCH /v1/products/a", `{}`, of(asAdmin, "If-Match: 1"), 400, `"/header/If-Match"`},
		{"POST /v1/products/a/adjustments", `{"delta":1,"reason":"x"}`, of(asAdmin, "Idempotency-Key: a b"), 400, `Idempotency-Key`},
		{"POST /v1/products/a/adjustments", `{"delta":1,"reason":"x"}`, of(asAdmin, "Idempotency-Key: "+strings.Repeat("k", 256)), 400, `Idempotency-Key`},
	})
	if n := f.count(`select sum(stock)::bigint from products`); n != 5 {
		t.Errorf("stock is %d", n)
	}
}
