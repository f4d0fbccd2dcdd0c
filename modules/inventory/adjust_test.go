package inventory

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// SPEC B5: movements with their actor; below what is reserved is a conflict.
func TestAdjustments_B5(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.stock(new(int64(5)), "a")
	f.stock(nil, "u")
	_, err := reserve(f.Module, wants{uuid.New(), map[string]int64{"a": 3, "u": 8}})
	must(t, err)
	const at = "POST /v1/products/a/adjustments"

	f.run([]row{
		{at, `{"delta":10,"reason":"delivery"}`, of(asAdmin), 201, `"sku":"a","delta":10,"stock":15,"reason":"delivery","actor":"admin:ID","at":"TIME"}`},
		{at, `{"delta":-12,"reason":"broken"}`, of(asAdmin), 201, `"delta":-12,"stock":3`},
		{at, `{"delta":-1,"reason":"broken"}`, of(asAdmin), 409, `"code":"below-reserved"`},
		{at, `{"delta":-9223372036854775808,"reason":"all"}`, of(asAdmin), 409, `"reserved":3`},
		{at, `{"delta":1,"reason":"x"}`, of(asUser), 403, ``},
		{"POST /v1/products/u/adjustments", `{"delta":1,"reason":"x"}`, of(asAdmin), 409, `"code":"untracked"`},
		{"POST /v1/products/none/adjustments", `{"delta":1,"reason":"x"}`, of(asAdmin), 404, ``},
		{"PATCH /v1/products/a", `{"stock":2}`, of(asAdmin), 409, `"code":"below-reserved"`},
		{"PATCH /v1/products/u", `{"stock":7}`, of(asAdmin), 409, `"code":"below-reserved"`},
		{"PATCH /v1/products/u", `{"stock":8}`, of(asAdmin), 200, `"stock":8,"reserved":8,"available":0`},
		{"PATCH /v1/products/a", `{"stock":null}`, of(asAdmin), 200, `"stock":null,"reserved":3`},
		{"GET /v1/products/a/adjustments?limit=1", "", of(asAdmin), 200, `"delta":-3,"stock":null,"reason":"edited"`},
		{"GET /v1/products/a/adjustments", "", of(asUser), 403, ``},
		{"GET /v1/products/none/adjustments", "", of(asAdmin), 404, ``},
		{"DELETE /v1/products/a", "", of(asAdmin), 204, ``},
		{"POST /v1/products", `{"sku":"a","name":"A","unitPrice":{"amount":1,"currency":"EUR"},"stock":2}`, of(asAdmin), 409, `"code":"below-reserved"`},
		{"POST /v1/products", `{"sku":"a","name":"A","unitPrice":{"amount":1,"currency":"EUR"},"stock":9}`, of(asAdmin), 201, `"reserved":3,"available":6`},
	})
	f.audit()

	var deltas []int64
	for _, item := range f.walk("/v1/products/a/adjustments?limit=2", asAdmin) {
		deltas = append(deltas, int64(item["delta"].(float64)))
	}
	if got := fmt.Sprint(deltas); got != "[9 -3 -12 10 5]" {
		t.Errorf("newest first: %s", got)
	}
}
