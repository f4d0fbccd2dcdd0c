package app

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// keyScopes are the scopes under which keys are stored, for requests with these ids. A
// key that was stored before an upgrade must be found after it: none of them may ever
// change.
var keyScopes = []struct{ route, path, body, scope string }{
	{"/v1/orders", "/v1/orders", `{"items":[{"sku":"A","quantity":1}]}`, "POST /v1/orders"},
	{"/v1/orders/bulk", "/v1/orders/bulk", `{"orders":[{"items":[{"sku":"A","quantity":1}]}]}`, "POST /v1/orders/bulk"},
	{"/v1/orders/{id}/cancel", "/v1/orders/ID/cancel", ``, "POST /v1/orders/id/cancel"},
	{"/v1/orders/{id}/hold", "/v1/orders/ID/hold", `{"reason":"r"}`, "POST /v1/orders/id/hold"},
	{"/v1/orders/{id}/release", "/v1/orders/ID/release", ``, "POST /v1/orders/id/release"},
	{"/v1/orders/{id}/steps/{name}/complete", "/v1/orders/ID/steps/no%2Dne/complete", ``, "POST /v1/orders/id/steps/no-ne/complete"},
	{"/v1/orders/{id}/refunds", "/v1/orders/ID/refunds", `{"amount":{"amount":1,"currency":"EUR"},"reason":"r"}`, "POST /v1/orders/id/refunds"},
	{"/v1/dead-letters/{id}/retry", "/v1/dead-letters/LETTER/retry", ``, "POST /v1/dead-letters/letter/retry"},
	{"/v1/dead-letters/{id}/skip", "/v1/dead-letters/LETTER/skip", `{"reason":"r"}`, "POST /v1/dead-letters/letter/skip"},
	{"/v1/dead-letters/{id}/cancel", "/v1/dead-letters/LETTER/cancel", ``, "POST /v1/dead-letters/letter/cancel"},
	{"/v1/products", "/v1/products", `{"sku":"B","name":"B","unitPrice":{"amount":1,"currency":"EUR"}}`, "POST /v1/products"},
	{"/v1/products/{sku}/adjustments", "/v1/products/no%2Ene/adjustments", `{"delta":1,"reason":"r"}`, "POST /v1/products/no.ne/adjustments"},
	{"/v1/invitations", "/v1/invitations", `{"email":"eve@example.com"}`, "POST /v1/invitations"},
	{"/v1/users/{id}/password-reset", "/v1/users/ID/password-reset", ``, "POST /v1/users/id/password-reset"},
	{"/v1/webhooks/{id}/replays", "/v1/webhooks/ID/replays", `{"from":1}`, "POST /v1/webhooks/id/replays"},
	{"/v1/webhooks/{id}/deliveries/{number}/resend", "/v1/webhooks/ID/deliveries/007/resend", ``, "POST /v1/webhooks/id/deliveries/7/resend"},
}

// SPEC C3: every route that takes a key looks it up, and so stores it, under the scope that it has always
// had: there it finds the key of another request.
func TestScopesOfKeysStayTheSame_C3(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	admin := s.admin()
	admin.product("A", 10)
	order, letter := admin.order("A", 1), uuid.NewString()
	db := connect(t, cfg.DatabaseURL.Reveal())
	_, err := db.Exec(t.Context(), `
		insert into dead_letters (id, order_id, job_id, kind, step, error, attempts, created_at)
		values ($1, $2, 1, 'order_process', 'capture', 'out of reach', 8, now())`, letter, order)
	if err != nil {
		t.Fatal(err)
	}
	absent := uuid.NewString()
	inURL := strings.NewReplacer("ID", strings.ToUpper(absent), "LETTER", strings.ToUpper(letter))
	inScope := strings.NewReplacer("/id/", "/"+absent+"/", "/letter/", "/"+letter+"/")

	listed := map[string]bool{}
	for i, row := range keyScopes {
		listed[row.route] = true
		key, scope := fmt.Sprint("key-", i), inScope.Replace(row.scope)
		_, err := db.Exec(t.Context(), `
			insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
			select id, $1, $2, sha256('of another request'), 200, '{}', '' from users where email = $3`, scope, key, admin.email)
		if err != nil {
			t.Fatal(err)
		}
		if a := admin.send("POST", inURL.Replace(row.path), row.body, "Idempotency-Key: "+key); !a.is(422, "idempotency-key-reused") {
			t.Errorf("%s does not find a key that was stored under %q; it answers %s", row.route, scope, a)
		}
	}

	for _, r := range described().Routes() {
		if r.Idempotent != (listed[r.Path] && r.Method == http.MethodPost) {
			t.Errorf("%s %s takes a key: %v, is listed: %v", r.Method, r.Path, r.Idempotent, listed[r.Path])
		}
	}
}

// SPEC C3: a response that another version of the program stored is given again byte for
// byte, with its status and headers.
func TestResponsesOfAnotherVersion_C3(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	alice := s.user("alice")
	db := connect(t, cfg.DatabaseURL.Reveal())
	const request, meaning = `{"items": [{"quantity": 1, "sku": "A"}]}`, `{"items":[{"sku":"A","quantity":1}],"onShortage":"fail"}`
	id := uuid.NewString()
	stored := `{"id":"` + id + `", "member":"of another version", "total":{}}`
	fingerprint := sha256.Sum256([]byte(meaning))
	_, err := db.Exec(t.Context(), `
		insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
		select id, 'POST /v1/orders', 'k', $1, 201, json_build_object('ETag', '"9"', 'Location', '/v1/orders/' || $2::text), convert_to($3::text, 'utf8')
		from users where email = 'alice@example.com'`, fingerprint[:], id, stored)
	if err != nil {
		t.Fatal(err)
	}

	a, err := alice.try("POST", "/v1/orders", request, "Idempotency-Key: k")

	if err != nil || a.status != 201 || string(a.raw) != stored || a.header.Get("ETag") != `"9"` ||
		a.header.Get("Location") != "/v1/orders/"+id || a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%v, %s, %v", err, a, a.header)
	}
}
