package app

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/pquerna/otp/totp"

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
	case where == "POST /v1/auth/totp/activate /code":
		return fmt.Sprintf("%q", k.m.secondFactor(k.person, false)), true
	case where == "POST /v1/auth/totp/recovery-codes /code", where == "DELETE /v1/auth/totp /code":
		return fmt.Sprintf("%q", k.m.secondFactor(k.person, true)), true
	case where == "POST /v1/auth/verification/confirm /token":
		return fmt.Sprintf("%q", k.m.token("verification")), true
	case where == "POST /v1/auth/password-reset/confirm /token":
		return fmt.Sprintf("%q", k.m.token("password-reset")), true
	case where == "POST /v1/auth/register /invitation": // it is for one address
		return "", true
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
	case "expectedTotal": // of the present prices
		return "", true
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

// token is one that a message to another person would contain.
func (m *matrix) token(purpose string) string {
	m.t.Helper()
	raw, id := make([]byte, 32), m.person("mailed").id
	_, _ = rand.Read(raw)
	hash := sha256.Sum256(raw)
	m.exec(`update users set email_verified_at = null where id = $1`, id)
	m.exec(`insert into account_tokens (user_id, purpose, hash, expires_at) values ($1, $2, $3, now() + interval '1 minute')`, id, purpose, hash[:])
	return base64.RawURLEncoding.EncodeToString(raw)
}

// body is the smallest one that a route takes of a caller; "" when it needs none.
func (m *matrix) body(r web.Route, p *person) string {
	m.t.Helper()
	if len(m.factors) > 0 { // with one, they could not log in again
		m.exec(`delete from totp_factors where user_id::text = any ($1)`, m.factors)
		m.factors = nil
	}
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

// secondFactor sets up a second factor for a person, activates it if active is set, and returns its
// next code.
func (m *matrix) secondFactor(p *person, active bool) string {
	m.t.Helper()
	m.factors = append(m.factors, p.id)
	m.exec(`delete from totp_factors where user_id = $1`, p.id)
	m.exec(`update sessions set confirmed_at = now() where user_id = $1`, p.id)
	code, err := totp.GenerateCode(p.want(200, "POST", "/v1/auth/totp", "").text("secret"), time.Now())
	if err != nil {
		m.t.Fatal(err)
	}
	if active {
		code = p.want(200, "POST", "/v1/auth/totp/activate", fmt.Sprintf(`{"code":%q}`, code)).text("recoveryCodes.0")
	}
	return code
}

// someFactor gives an account a second factor, of which nobody knows the secret.
const someFactor = `insert into totp_factors (user_id, id, secret, key_id, created_at, activated_at) values ($1, $1, '', '', now(), now())`
