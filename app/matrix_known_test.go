package app

import (
	"fmt"

	"github.com/orderflow-dev/orderflow/platform/web"
)

// known are values of members of bodies, where the schema does not say what would be let
// through. Every test that writes bodies from the OpenAPI document takes them from here.
type known struct {
	m       *matrix
	r       web.Route
	person  *person // the caller
	without string  // a member that is left out
}

// value is that of a member by route and place, or by its name; an empty one leaves the
// member out.
func (k known) value(pointer, name string) (text string, ok bool) {
	switch where := k.r.Method + " " + k.r.Path + " " + pointer; {
	case pointer != "" && pointer == k.without:
		return "", true
	case where == "POST /v1/auth/login /email":
		return fmt.Sprintf("%q", k.person.email), true
	case where == "POST /v1/products /sku":
		return fmt.Sprintf(`"NEW-%d"`, k.m.next()), true
	case where == "POST /v1/orders/{id}/refunds /amount/amount":
		return `1`, true
	case where == "PATCH /v1/orders/{id}/status /status":
		return `"SHIPPED"`, true
	case where == "POST /v1/webhooks /userId":
		return fmt.Sprintf("%q", k.person.id), true
	case where == "POST /v1/webhooks/{id}/replays /since", where == "POST /v1/webhooks/{id}/replays /until": // numbers or times
		return "", true
	case k.r.Tag == "Webhooks" && pointer == "/types/0":
		return `"order.shipped"`, true
	}
	switch name {
	case "sku":
		return `"KETTLE"`, true
	case "email":
		return fmt.Sprintf(`"new-%d@example.com"`, k.m.next()), true
	case "password", "currentPassword", "newPassword":
		return fmt.Sprintf("%q", k.person.password), true
	case "reference":
		return fmt.Sprintf(`"r-%d"`, k.m.next()), true
	case "refreshToken":
		return fmt.Sprintf("%q", k.person.refresh), true
	case "url":
		return `"http://127.0.0.1:65001/"`, true
	case "expiresAt":
		return `"2999-01-01T00:00:00Z"`, true
	}
	return "", false
}

// bodies are of routes that take more, or less, than the members that their schema
// requires. They are written for the caller.
var bodies = map[string]func(m *matrix, p *person) string{
	"POST /v1/auth/refresh": func(m *matrix, p *person) string {
		return fmt.Sprintf(`{"refreshToken":%q}`, m.s.logIn(p.email, p.password).refresh)
	},
	"PATCH /v1/users/{id}":            func(*matrix, *person) string { return `{"name":"Another"}` },
	"PATCH /v1/webhooks/{id}":         func(*matrix, *person) string { return `{"description":"another"}` }, // more needs more, see TestKeysNeedWhatTheyCarry
	"POST /v1/webhooks/{id}/replays":  func(*matrix, *person) string { return `{"from":1}` },
	"POST /v1/orders/{id}/refunds":    func(*matrix, *person) string { return `{"amount":{"amount":1,"currency":"EUR"},"reason":"late"}` },
	"POST /v1/dead-letters/{id}/skip": func(*matrix, *person) string { return `{"reason":"done by hand"}` },
	"POST /v1/dead-letters/bulk":      func(*matrix, *person) string { return `{"action":"retry","filter":{"error":"nothing like it"}}` },
}

// body is the smallest one that a route takes of a caller; "" when it needs none.
func (m *matrix) body(r web.Route, p *person) string {
	if write, special := bodies[r.Method+" "+r.Path]; special {
		return write(m, p)
	}
	request := m.doc.operation(r).RequestBody
	if !request.Required {
		return ""
	}
	k := known{m: m, r: r, person: p}
	return textOf(sketch{doc: m.doc, given: k.value, least: true}.of("", "", request.Content["application/json"].Schema))
}
