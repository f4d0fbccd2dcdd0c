package orders_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const bulk = "POST /v1/orders/bulk"

// outcome is an item of the answer to a bulk request.
type outcome struct {
	Index  int           `json:"index"`
	Status int           `json:"status"`
	Order  *orders.Order `json:"order"`
	Error  *struct {
		Status  int
		Code    string
		OrderID uuid.UUID     `json:"orderId"`
		Errors  []fault.Field `json:"errors"`
		Type    string
	} `json:"error"`
}

func (o outcome) String() string {
	if o.Error == nil {
		return fmt.Sprint(o.Status)
	}
	text := fmt.Sprint(o.Status, " ", o.Error.Code)
	for _, f := range o.Error.Errors {
		text += " " + f.Pointer + " " + f.Code
	}
	return text
}

func outcomes(t *testing.T, body []byte) (list []outcome) {
	t.Helper()
	var page struct {
		Data       []outcome `json:"data"`
		NextCursor *string   `json:"nextCursor"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatal(err)
	}
	for i, o := range page.Data {
		if o.Index != i || (o.Status == http.StatusCreated) != (o.Order != nil) || (o.Order == nil) == (o.Error == nil) {
			t.Errorf("item %d is %+v", i, o)
		}
	}
	return page.Data
}

// bulkKey is the key of a request for many orders, with the route's rendering.
func bulkKey(c identity.Caller, name, body string) idempotency.Key[[]orders.BulkOrderResult] {
	return idempotency.Key[[]orders.BulkOrderResult]{Request: requestOf(c, name, body), Renderer: orders.BulkRenderer}
}

func baskets(list ...orders.OrderRequest) (all []orders.BulkOrder) {
	for _, w := range list {
		all = append(all, orders.BulkOrder{Request: w})
	}
	return all
}

func referring(w orders.OrderRequest, reference string) orders.OrderRequest {
	w.Reference = &reference
	return w
}

// whole counts what belongs to orders, and fails where a part is missing (C2).
func (b *bundle) whole(want int64) {
	b.t.Helper()
	for _, query := range []string{
		`select count(*) from orders`,
		`select count(distinct order_id) from order_lines`,
		`select count(*) from order_terms`,
		`select count(*) from events where type = 'order.created'`,
		`select count(*) from river_job`,
		`select sum(n)::bigint from (select n from order_counts union all select 0) as c`,
	} {
		if n := b.count(query); n != want {
			b.t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
}

// C11: each on its own: what can be placed is, and every other one is told why, as it
// would have been alone.
func TestBulkIndependent_C11(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": -1, "B": 3})
	there := f.place(f.alice, referring(basket("A", 1), "old"))
	const a = `"items":[{"sku":"A","quantity":1}]`
	items := []struct{ body, want string }{
		{`{` + a + `}`, "201"},
		{`{"items":[{"sku":"A","quantity":1},{"sku":"gone","quantity":1}]}`, "422 invalid /items/1/sku unknown-sku"},
		{`{"items":[{"sku":"A","quantity":0}],"nope":1}`, "422 invalid /items/0/quantity minimum /nope unknown-field"},
		{`{` + a + `,"reference":"new"}`, "201"},
		{`{` + a + `,"reference":"old"}`, "409 reference-taken"},
		{`{` + a + `,"reference":"new"}`, "409 reference-taken"},
		{`{` + a + `,"reference":"old"}`, "409 reference-taken"},
		{`7`, "422 invalid  type"},
		{`{"items":[{"sku":"gone","quantity":1}],"reference":"second chance"}`, "422 invalid /items/0/sku unknown-sku"},
		{`{` + a + `,"reference":"second chance"}`, "201"},
		{`{` + a + `,"metadata":{"x":"` + strings.Repeat("x", 17<<10) + `"}}`, "422 invalid /metadata max-length"},
		{`{"items":[{"sku":"B","quantity":9}],"onShortage":"hold","note":"n","metadata":{"k":[1]}}`, "201"},
	}
	var list []string
	for _, item := range items {
		list = append(list, item.body)
	}

	status, body := f.ask("alice", bulk, `{"orders":[`+strings.Join(list, ",")+`]}`)

	if status != 200 || !strings.HasSuffix(body, `"nextCursor":null}`) {
		t.Fatalf("%d %s", status, body)
	}
	got := outcomes(t, []byte(body))
	for i, item := range items {
		if got[i].String() != item.want {
			t.Errorf("item %d %s\n got %s\nwant %s", i, item.body, got[i], item.want)
		}
	}
	if got[4].Error.OrderID != there.ID || got[6].Error.OrderID != there.ID || got[5].Error.OrderID != got[3].Order.ID {
		t.Errorf("the references are said to be those of %v, %v and %v", got[4].Error.OrderID, got[6].Error.OrderID, got[5].Error.OrderID)
	}
	f.whole(5)
	for _, i := range []int{0, 3, 9, 11} {
		_, alone := f.ask("alice", "GET /v1/orders/"+got[i].Order.ID.String(), "")
		if !strings.Contains(body, alone) {
			t.Errorf("item %d does not show the order as it is: %s", i, alone)
		}
	}
}

// C11: all or none, with every fault of all of them in one refusal.
func TestBulkAtomic_C11(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": -1})
	there := f.place(f.alice, referring(basket("A", 1), "old"))
	const a = `"items":[{"sku":"A","quantity":1}]`
	rows := []struct {
		name, orders string
		status       int
		want         []string
		placed       int64
	}{
		{"faults of all kinds", `{` + a + `},{"items":[{"sku":"A","quantity":1},{"sku":"gone","quantity":1}]},{"items":[]},{` + a + `,"reference":"r"},{` + a + `,"reference":"r"}`,
			422, []string{`"pointer":"/orders/1/items/1/sku","code":"unknown-sku"`, `"pointer":"/orders/2/items","code":"min-items"`, `"pointer":"/orders/4/reference","code":"unique"`}, 0},
		{"taken", `{` + a + `,"reference":"new"},{` + a + `},{` + a + `,"reference":"old"}`,
			409, []string{`"code":"reference-taken"`, `"index":2`, `"orderId":"` + there.ID.String() + `"`, `"pointer":"/orders/2/reference"`}, 0},
		{"good", `{` + a + `,"reference":"new"},{` + a + `}`, 200, []string{`{"data":[{"index":0,"status":201,"order":{"id":"`}, 2},
	}
	placed := int64(1)
	for _, row := range rows {
		status, body := f.ask("alice", bulk, `{"mode":"atomic","orders":[`+row.orders+`]}`)

		if status != row.status {
			t.Errorf("%s: %d %s", row.name, status, body)
		}
		for _, want := range row.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %s\nlacks %s", row.name, body, want)
			}
		}
		placed += row.placed
		f.whole(placed)
	}
}

// C3, C11: a repeated key places nothing, in either mode, and neither does one at the
// same time on another node.
func TestBulkActsOnce_C3(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nodes := []*bundle{b, node(t, b.url)}
	b.products(map[string]int64{"A": -1})
	list := baskets(basket("A", 1), basket("gone", 1), referring(basket("A", 2), "r"), referring(basket("A", 3), "r"))
	k := bulkKey(b.alice, "k", "same")
	k.Route = bulk

	var mu sync.Mutex
	bodies := map[string]int{}
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			n := nodes[i%2]
			a, err := n.PlaceMany(n.ctx, b.alice, list, false, k)
			if err != nil && !fault.Is(err, "idempotency-key-in-use") {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			bodies[string(a.Response.Body)]++
		})
	}
	all.Wait()
	again, err := b.PlaceMany(b.ctx, b.alice, list, false, k)

	if err != nil || !again.Replayed || again.Response.Status != 200 {
		t.Errorf("again: %+v, %v", again, err)
	}
	delete(bodies, "") // those that came while the first ran
	if len(bodies) != 1 || bodies[string(again.Response.Body)] == 0 {
		t.Errorf("%d different answers", len(bodies))
	}
	if got := fmt.Sprint(outcomes(t, again.Response.Body)); got != "[201 422 invalid /items/0/sku unknown-sku 201 409 reference-taken]" {
		t.Error(got)
	}
	b.whole(2)

	if _, err := b.PlaceMany(b.ctx, b.alice, list[:1], false, bulkKey(b.alice, "k", "other")); err != nil {
		t.Errorf("another route: %v", err)
	}
	other := k
	other.Fingerprint = []byte("other")
	if _, err := b.PlaceMany(b.ctx, b.alice, list[:1], false, other); !fault.Is(err, "idempotency-key-reused") {
		t.Errorf("another body: %v", err)
	}
}

// C3: over HTTP: a refusal over the state of things is kept, one over the input is
// not, and what is the same body is decided by its meaning.
func TestBulkKeys_C3(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": -1})
	f.place(f.alice, referring(basket("A", 1), "old"))
	ask := func(key, body string) (int, string) { return f.ask("alice", bulk, body, "Idempotency-Key: "+key) }

	first, one := ask("1", `{"orders":[{"items":[{"sku":"A","quantity":1}]},{}]}`)
	again, two := ask("1", `{ "mode":"independent", "orders" : [ {"items":[{"quantity":1,"sku":"A"}]}, { } ] }`)
	if first != 200 || again != 200 || one != two {
		t.Errorf("%d %s\n%d %s", first, one, again, two)
	}
	for range 2 {
		if status, body := ask("2", `{"mode":"atomic","orders":[{"items":[{"sku":"A","quantity":1}],"reference":"old"}]}`); status != 409 || !strings.Contains(body, `"index":0`) {
			t.Errorf("%d %s", status, body)
		}
	}
	if status, body := ask("1", `{"mode":"atomic","orders":[{"items":[{"quantity":1,"sku":"A"}]},{}]}`); status != 422 || !strings.Contains(body, "idempotency-key-reused") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := ask("3", `{"mode":"atomic","orders":[{}]}`); status != 422 {
		t.Errorf("%d", status)
	}
	if status, body := ask("3", `{"mode":"atomic","orders":[{"items":[{"quantity":1,"sku":"A"}]}]}`); status != 200 {
		t.Errorf("the key of a refused request is not free: %d %s", status, body)
	}
	f.whole(3)
}

// C1: what the request as a whole may be, and no other route takes as much.
func TestBulkLimits_C11(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": -1})
	line, note := `{"sku":"A","quantity":1}`, strings.Repeat("n", 2000)
	order := func(lines int, note string) string {
		return `{"note":"` + note + `","items":[` + strings.Repeat(line+",", lines-1) + line + `]}`
	}
	many := func(n int, order string) string {
		return `{"orders":[` + strings.Repeat(order+",", n-1) + order + `]}`
	}
	rows := []struct {
		name, what, body string
		status           int
		want             string
	}{
		{"none", bulk, `{"orders":[]}`, 422, `"pointer":"/orders","code":"min-items"`},
		{"too many orders", bulk, many(1001, order(1, "")), 422, `"pointer":"/orders","code":"max-items"`},
		{"too many lines", bulk, many(41, order(500, "")), 422, `"pointer":"/orders","code":"max-lines"`},
		{"unknown mode", bulk, `{"mode":"both","orders":[` + order(1, "") + `]}`, 422, `"pointer":"/mode","code":"enum"`},
		{"unknown field", bulk, `{"all":1,"orders":[` + order(1, "") + `]}`, 422, `"pointer":"/all","code":"unknown-field"`},
		{"no JSON", bulk, `{"orders":[`, 400, `"code":"malformed"`},
		{"too large for one", "POST /v1/orders", `{"note":"` + strings.Repeat("n", 300<<10) + `"}`, 413, `"code":"too-large"`},
		{"too large for many", bulk, strings.Repeat(" ", 8<<20+1), 413, `"code":"too-large"`},
		{"as much as it may be", bulk, many(1000, order(20, note)), 200, `"index":999,"status":201`},
	}
	for _, row := range rows {
		status, body := f.ask("alice", row.what, row.body)

		if status != row.status || !strings.Contains(body, row.want) {
			t.Errorf("%s: %d %.400s", row.name, status, body)
		}
	}
	if got := f.promise(bulk, 9<<20); got != http.StatusRequestEntityTooLarge {
		t.Errorf("9 MiB: %d", got)
	}
	f.whole(1000)
	if n := f.count(`select count(*) from order_lines`); n != 20_000 {
		t.Errorf("%d lines", n)
	}
}

// promise announces a body and sends none of it: what is too large is refused
// before it is read.
func (f *front) promise(what string, size int) int {
	f.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(f.ctx, "tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nX-Caller: alice\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", what, size)
	if err != nil {
		f.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// C1: prices are those at the time of the commit, also if the cache of the node is outdated.
func TestBulkPricesAnew_C1(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1, "B": -1, "C": -1})
	b.place(b.alice, basket("A", 1, "B", 1, "C", 1)) // now they are remembered
	b.exec(`update products set unit_price = 250 where sku = 'A'`)
	b.exec(`update products set active = false where sku = 'B'`)
	b.exec(`update catalogue set version = version + 1`)

	a, err := b.PlaceMany(b.ctx, b.alice, baskets(basket("A", 2), basket("B", 1), basket("C", 1)), false, idempotency.Key[[]orders.BulkOrderResult]{})
	if err != nil {
		t.Fatal(err)
	}

	got := a.Value
	if len(got) != 3 || got[0].Order == nil || got[0].Order.Total.Amount != 500 || got[2].Order == nil || got[2].Order.Total.Amount != 100 ||
		got[1].Order != nil || fmt.Sprint(got[1].Rejection.Fields) != "[{/items/0/sku inactive-sku is not for sale at present}]" {
		t.Errorf("%+v", got)
	}
	if _, err := b.PlaceMany(b.ctx, b.alice, baskets(basket("C", 1), basket("B", 1)), true, idempotency.Key[[]orders.BulkOrderResult]{}); !fault.Is(err, "invalid") {
		t.Errorf("atomic: %v", err)
	}
	b.whole(3)
}

// C4: requests with the same references in opposite orders, on two nodes, beside
// single ones: each reference is one order, and no transactions deadlock.
func TestBulksOfTheSameReferences_C4(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nodes := []*bundle{b, node(t, b.url)}
	b.products(map[string]int64{"A": -1})
	const references = 40

	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			n := nodes[i%2]
			var list []orders.OrderRequest
			for r := range references {
				if i%4 < 2 {
					r = references - 1 - r
				}
				list = append(list, referring(basket("A", 1), fmt.Sprint("r", r)))
			}
			if i%3 == 0 {
				_, err := n.Place(n.ctx, b.alice, list[0], idempotency.Key[orders.Order]{})
				if err != nil && !fault.Is(err, "reference-taken") {
					t.Error(err)
				}
			}
			if _, err := n.PlaceMany(n.ctx, b.alice, baskets(list...), false, idempotency.Key[[]orders.BulkOrderResult]{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	b.whole(references)
}

// C11: what bulk placed is an order like any other.
func TestBulkOrdersAreProcessed_C11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 3})
	a, err := b.PlaceMany(b.ctx, b.alice, baskets(basket("A", 1), basket("A", 1), basket("A", 1)), true, idempotency.Key[[]orders.BulkOrderResult]{})
	if err != nil {
		t.Fatal(err)
	}

	b.work()

	for _, o := range a.Value {
		b.await(o.Order.ID, lifecycle.Processing)
	}
}
