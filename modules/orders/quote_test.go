package orders_test

import (
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/modules/orders"
)

// C11: a quote is the order that placing would make, with what there is of it.
func TestQuote_C11(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": 5, "B": 2, "U": -1})
	f.processed(f.bob, basket("A", 2))
	before := f.count(`select (select count(*) from orders) + (select count(*) from events) + (select sum(reserved) from products)::bigint`)
	rows := []struct {
		name, who, body string
		status          int
		want            string
	}{
		{"enough", "alice", `{"items":[{"sku":"A","quantity":3},{"sku":"U","quantity":1000000}]}`, 200,
			`{"items":[{"sku":"A","name":"Name of A","quantity":3,"unitPrice":{"amount":100,"currency":"EUR"},"total":{"amount":300,"currency":"EUR"},"available":true},` +
				`{"sku":"U","name":"Name of U","quantity":1000000,"unitPrice":{"amount":100,"currency":"EUR"},"total":{"amount":100000000,"currency":"EUR"},"available":true}],` +
				`"total":{"amount":100000300,"currency":"EUR"},"available":true,"shortages":[]}`},
		{"lines of one sku are summed", "alice", `{"items":[{"sku":"A","quantity":2},{"sku":"A","quantity":2}]}`, 200,
			`"available":false,"shortages":[{"sku":"A","requested":4,"available":3}]}`},
		{"some short", "admin", `{"items":[{"sku":"B","quantity":3},{"sku":"U","quantity":1},{"sku":"A","quantity":9}]}`, 200,
			`"shortages":[{"sku":"A","requested":9,"available":3},{"sku":"B","requested":3,"available":2}]}`},
		{"unknown", "alice", `{"items":[{"sku":"A","quantity":1},{"sku":"gone","quantity":1}]}`, 422, `"pointer":"/items/1/sku","code":"unknown-sku"`},
		{"too few", "alice", `{"items":[{"sku":"A","quantity":0}]}`, 422, `"pointer":"/items/0/quantity","code":"minimum"`},
		{"nothing", "alice", `{"items":[]}`, 422, `"pointer":"/items","code":"min-items"`},
		{"anonymous", "", `{"items":[{"sku":"A","quantity":1}]}`, 401, `"code":"unauthenticated"`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			status, body := f.ask(row.who, "POST /v1/orders/quote", row.body)

			if status != row.status || !strings.Contains(body, row.want) {
				t.Errorf("%d %s\nwant %d %s", status, body, row.status, row.want)
			}
		})
	}
	if after := f.count(`select (select count(*) from orders) + (select count(*) from events) + (select sum(reserved) from products)::bigint`); after != before {
		t.Error("a quote wrote something")
	}
}

// F9: a quote never shows an outdated price, also if the cache of the node is outdated.
func TestQuoteIsNeverStale_F9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	items := []orders.OrderRequestItem{{SKU: "A", Quantity: 1}}
	b.place(b.alice, basket("A", 1)) // now it is remembered
	b.exec(`update products set unit_price = 250`)
	b.exec(`update catalogue set version = version + 1`)

	q, err := b.Quote(b.ctx, items)

	if err != nil || q.Total.Amount != 250 {
		t.Errorf("%+v, %v", q.Total, err)
	}
}
