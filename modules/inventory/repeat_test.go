package inventory

import (
	"strings"
	"sync"
	"testing"
)

// SPEC R4: a stale If-Match is 412; adjustments count as changes.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.stock(new(int64(5)), "a")

	if tag := f.ask("GET /v1/products/a", "").Get("ETag"); tag != `"1"` {
		t.Errorf("ETag %s", tag)
	}
	f.run([]row{
		{"PATCH /v1/products/a", `{"name":"Two"}`, of(asAdmin, `If-Match: "1"`), 200, `"version":2`},
		{"PATCH /v1/products/a", `{"name":"Three"}`, of(asAdmin, `If-Match: "1"`), 412, `"code":"stale"`},
		{"PATCH /v1/products/a", `{"name":"Three"}`, of(asAdmin, `If-Match: *`), 200, `"version":3`},
		{"POST /v1/products/a/adjustments", `{"delta":1,"reason":"x"}`, of(asAdmin), 201, ``},
		{"PATCH /v1/products/a", `{"stock":1}`, of(asAdmin, `If-Match: "3"`), 412, ``},
		{"DELETE /v1/products/a", "", of(asAdmin, `If-Match: "3"`), 412, ``},
		{"PATCH /v1/products/none", `{"stock":1}`, of(asAdmin, `If-Match: "3"`), 404, ``},
	})
	if tag := f.ask("PATCH /v1/products/a", `{"name":"Five"}`, asAdmin, `If-Match: "4"`).Get("ETag"); tag != `"5"` {
		t.Errorf("ETag %s", tag)
	}
	f.run([]row{{"DELETE /v1/products/a", "", of(asAdmin, `If-Match: "5"`), 204, ``}})
}

// SPEC C3: a repetition acts once and is answered with the same bytes.
func TestIdempotencyKey_C3(t *testing.T) {
	t.Parallel()
	f := open(t)
	const product = `{"sku":"a","name":"A","unitPrice":{"amount":1,"currency":"EUR"},"stock":5}`
	const reordered = `{"stock":5, "sku":"a", "unitPrice":{"currency":"EUR","amount":1},"name":"A"}`
	const adjustment = `{"delta":2,"reason":"found"}`

	first := f.ask("POST /v1/products", product, asAdmin, "Idempotency-Key: k")
	second := f.ask("POST /v1/products", reordered, asAdmin, "Idempotency-Key: k")
	if first.status != 201 || second.status != 201 || first.body != second.body {
		t.Errorf("first %d %s\nagain %d %s", first.status, first.body, second.status, second.body)
	}
	if first.Get("Idempotency-Replayed") != "" || second.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replayed: %q, %q", first.Get("Idempotency-Replayed"), second.Get("Idempotency-Replayed"))
	}
	for _, r := range []reply{first, second} {
		if r.Get("Location") != "/v1/products/a" || r.Get("ETag") != `"1"` {
			t.Errorf("Location %q, ETag %q", r.Get("Location"), r.Get("ETag"))
		}
	}

	const at = "POST /v1/products/a/adjustments"
	f.run([]row{
		{"POST /v1/products", strings.Replace(product, `"A"`, `"B"`, 1), of(asAdmin, "Idempotency-Key: k"), 422, `"code":"idempotency-key-reused"`},
		{at, adjustment, of(asAdmin, "Idempotency-Key: k"), 201, `"stock":7`},
		{at, adjustment, of(asAdmin, "Idempotency-Key: k"), 201, `"stock":7`},
		{at, adjustment, of(asAdmin, "Idempotency-Key: other"), 201, `"stock":9`},
		{at, adjustment, of(asAdmin), 201, `"stock":11`},
		{at, `{"delta":-50,"reason":"x"}`, of(asAdmin, "Idempotency-Key: short"), 409, `"below-reserved"`},
		{at, `{"delta":90,"reason":"x"}`, of(asAdmin), 201, `"stock":101`},
		{at, `{"delta":-50,"reason":"x"}`, of(asAdmin, "Idempotency-Key: short"), 201, `"stock":51`}, // the conflict was not final
		{at, `{"delta":0,"reason":"x"}`, of(asAdmin, "Idempotency-Key: zero"), 422, `"/delta"`},
		{at, `{"delta":1,"reason":"x"}`, of(asAdmin, "Idempotency-Key: zero"), 201, `"stock":52`},
	})
	f.audit()
}

// One sku, ten creators: one product.
func TestCreateAtOnce_B1(t *testing.T) {
	t.Parallel()
	f := open(t)

	var counted [600]int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			got := f.ask("POST /v1/products", `{"sku":"a","name":"A","unitPrice":{"amount":1,"currency":"EUR"},"stock":5}`, asAdmin)
			mu.Lock()
			defer mu.Unlock()
			counted[got.status]++
		})
	}
	all.Wait()

	if counted[201] != 1 || counted[409] != 9 {
		t.Errorf("%d created, %d conflicts", counted[201], counted[409])
	}
	f.audit()
}
