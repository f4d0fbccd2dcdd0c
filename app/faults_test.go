package app

import (
	"slices"
	"strings"
	"testing"
)

// SPEC R43: a response lists all faults of a body at once, whether the schema finds them or the module.
func TestEveryFaultAtOnce_R43(t *testing.T) {
	t.Parallel()
	admin := serveTest(t, settings(t)).admin()
	admin.product("KETTLE", 10)
	for _, row := range []struct{ call, body, want string }{
		{"POST /v1/auth/register", `{"email":"x","password":"1","shoe":43}`, "/email invalid, /password too-short, /shoe unknown-field"},
		{"POST /v1/auth/register", `{"email":"a@example.com","password":"","name":"a\u202eb","shoe":{"a":[1]}}`, "/name invalid, /password too-short, /shoe unknown-field"},
		{"POST /v1/auth/register", `{"password":7,"email":"x"}`, "/email invalid, /password type"},
		{"POST /v1/products", `{"sku":"a b","name":"a\u200bb","unitPrice":{"amount":1,"currency":"XXX","vat":1},"stock":-1,"odd":1}`,
			"/name invalid, /odd unknown-field, /sku pattern, /stock minimum, /unitPrice/currency unknown-currency, /unitPrice/vat unknown-field"},
		{"POST /v1/products/KETTLE/adjustments", `{"delta":0,"reason":""}`, "/delta invalid, /reason min-length"},
		{"POST /v1/orders", `{"items":[{"sku":"NOPE","quantity":0,"x":1},{"sku":"NOPE2","quantity":1},7],"shoe":1,"onShortage":"never"}`,
			"/items/0/quantity minimum, /items/0/sku unknown-sku, /items/0/x unknown-field, /items/1/sku unknown-sku, /items/2 type, /onShortage enum, /shoe unknown-field"},
		{"POST /v1/orders/quote", `{"items":[{"sku":"NOPE","quantity":1}],"shoe":1}`, "/items/0/sku unknown-sku, /shoe unknown-field"},
		{"POST /v1/webhooks", `{"url":"ftp://example.com","types":["order.eaten"],"shoe":1}`, "/shoe unknown-field, /types/0 enum, /url invalid"},
		{"POST /v1/api-keys", `{"name":"\t","scopes":["orders:read"],"expiresAt":"2001-01-01T00:00:00Z","shoe":1}`, "/expiresAt past, /name invalid, /shoe unknown-field"},
		{"POST /v1/invitations", `{"email":"x","shoe":1}`, "/email invalid, /shoe unknown-field"},
		{"POST /v1/orders", `[]`, " type"},
	} {
		method, path, _ := strings.Cut(row.call, " ")
		a := admin.send(method, path, row.body)
		if got := faultsIn(a); got != row.want || a.status != 422 {
			t.Errorf("%d %s %s:\n  got  %s\n  want %s", a.status, row.call, row.body, got, row.want)
		}
	}
}

func faultsIn(a answer) string {
	var list []string
	faults, _ := a.body["errors"].([]any)
	for _, f := range faults {
		m, _ := f.(map[string]any)
		pointer, _ := m["pointer"].(string)
		code, _ := m["code"].(string)
		list = append(list, pointer+" "+code)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
