package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// C11, C12, F5: a quote, many orders at once, their numbers and their file, through
// everything that stands in front of them.
func TestManyOrders(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	admin, ann := s.admin(), s.user("ann")
	admin.product("KETTLE", 600)
	const one = `{"items":[{"sku":"KETTLE","quantity":1}]}`

	if q := ann.want(200, "POST", "/v1/orders/quote", `{"items":[{"sku":"KETTLE","quantity":601}]}`); q.at("available") != false || q.text("shortages.0.sku") != "KETTLE" {
		t.Errorf("quote is %s", q)
	}
	placed := ann.want(200, "POST", "/v1/orders/bulk", `{"orders":[`+strings.Repeat(one+",", 500)+`{"items":[{"sku":"NOPE","quantity":1}]},{}]}`, "Idempotency-Key: many")
	again := ann.want(200, "POST", "/v1/orders/bulk", `{"orders":[`+strings.Repeat(one+",", 500)+`{"items":[{"sku":"NOPE","quantity":1}]},{}]}`, "Idempotency-Key: many")
	if placed.text("data.499.order.status") != "PENDING" || placed.text("data.500.error.code") != "invalid" || !bytes.Equal(again.raw, placed.raw) {
		t.Errorf("bulk is %s", placed)
	}
	ann.want(422, "POST", "/v1/orders/bulk", `{"mode":"atomic","orders":[`+one+`,{}]}`)

	ann.becomes(placed.text("data.499.order.id"), "PROCESSING")
	for _, c := range []*client{ann, admin} {
		testwait.Until(t, "all to be counted as PROCESSING", func() bool {
			return fmt.Sprint(c.want(200, "GET", "/v1/orders/stats", "").at("counts.PROCESSING")) == "500"
		})
	}
	ann.want(403, "GET", "/v1/orders/stats?userId=0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11", "")
	ann.want(400, "GET", "/v1/orders/export?format=pdf", "")

	file, err := ann.try("GET", "/v1/orders/export?format=csv", "")
	if err != nil || file.status != 200 || strings.Count(string(file.raw), "\r\n") != 501 || file.header.Get("Content-Disposition") == "" {
		t.Errorf("csv is %.500s, %v", file, err)
	}
	if got := ann.ndjson(); got != 500 {
		t.Errorf("%d orders were exported", got)
	}
}

// ndjson reads all own orders, each against the document: a line is an order but for
// what its reader may do.
func (c *client) ndjson() (rows int) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.base+"/v1/orders/export?format=ndjson", http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := brief.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		var order map[string]any
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			c.t.Fatal(err)
		}
		if _, given := order["allowedActions"]; given {
			c.t.Errorf("line %d has allowedActions", rows)
		}
		order["allowedActions"] = []any{}
		if err := documentOf(c.t, c.base).validate("openapi.json#/components/schemas/Order", order); err != nil {
			c.t.Errorf("line %d: %v", rows, err)
		}
		rows++
	}
	if err := lines.Err(); err != nil {
		c.t.Fatal(err)
	}
	return rows
}
