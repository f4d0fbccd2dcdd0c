package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// D1, D3, C8: an order is paid for, shipped, captured and refunded; its ledger
// balances at every step.
func TestMoneyOfAnOrder(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root, ann, bob := s.admin(), s.user("ann"), s.user("bob")
	root.product("KETTLE", 5)
	id := ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":3}],"paymentMethod":"pm_card_visa"}`).text("id")
	path := "/v1/orders/" + id
	root.awaitOrder(id, "status", "PROCESSING")
	ann.balanced(id, "authorize")

	root.want(409, "POST", path+"/refunds", `{"amount":{"amount":1,"currency":"EUR"},"reason":"early"}`)
	root.want(422, "PATCH", path+"/status", `{"status":"PROCESSING","tracking":"1Z999"}`)
	shipped := root.want(200, "PATCH", path+"/status", `{"status":"SHIPPED","tracking":"1Z999"}`)
	if shipped.text("status") != "SHIPPED" || shipped.text("tracking") != "1Z999" {
		t.Errorf("shipped is %s", shipped)
	}
	root.awaitOrder(id, "paymentStatus", "CAPTURED")
	ann.balanced(id, "authorize settle capture")
	if p := s.anonymous().want(200, "GET", "/v1/products/KETTLE", ""); fmt.Sprintf("%v %v", p.at("stock"), p.at("available")) != "2 2" {
		t.Errorf("product is %s", p)
	}
	bob.want(404, "GET", path+"/ledger", "")
	bob.want(404, "GET", path+"/refunds", "")

	first := root.want(201, "POST", path+"/refunds", `{"items":[{"sku":"KETTLE","quantity":1}],"reason":"broken"}`, "Idempotency-Key: back")
	again := root.want(201, "POST", path+"/refunds", `{"items":[{"sku":"KETTLE","quantity":1}],"reason":"broken"}`, "Idempotency-Key: back")
	if first.text("id") != again.text("id") || again.header.Get("Idempotency-Replayed") != "true" || fmt.Sprint(first.at("amount.amount")) != "250" {
		t.Errorf("refunds are %s and %s", first, again)
	}
	root.awaitOrder(id, "paymentStatus", "PARTIALLY_REFUNDED")
	root.want(409, "POST", path+"/refunds", `{"items":[{"sku":"KETTLE","quantity":3}],"reason":"all of them"}`)
	root.want(422, "POST", path+"/refunds", `{"amount":{"amount":5,"currency":"USD"},"reason":"x"}`)
	root.want(422, "POST", path+"/refunds", `{"reason":"nothing"}`)

	var won, lost int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 2 { // two parallel full refunds: one wins
		all.Go(func() {
			a, err := root.try("POST", path+"/refunds", `{"amount":{"amount":500,"currency":"EUR"},"reason":"the rest"}`)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && a.status == 201:
				won++
			case err == nil && a.status == 409 && a.text("code") == "refund-exceeds-captured":
				lost++
			default:
				t.Errorf("refund: %s, %v", a, err)
			}
		})
	}
	all.Wait()
	if won != 1 || lost != 1 {
		t.Errorf("%d won, %d lost", won, lost)
	}
	root.awaitOrder(id, "paymentStatus", "REFUNDED")
	ann.balanced(id, "authorize settle capture refund refund")
	if list := ann.want(200, "GET", path+"/refunds", ""); list.text("data.0.status") != "DONE" || list.text("data.1.status") != "DONE" {
		t.Errorf("refunds are %s", list)
	}
}

// D2: a decline gives the stock back and fails the order; a cancel lets the money go.
func TestMoneyThatIsNotTaken(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root, ann := s.admin(), s.user("ann")
	root.product("KETTLE", 5)

	declined := ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":2}],"paymentMethod":"pm_card_chargeDeclined"}`).text("id")
	cancelled := ann.order("KETTLE", 1)
	root.awaitOrder(declined, "status", "FAILED")
	root.awaitOrder(cancelled, "status", "PROCESSING")
	root.want(200, "POST", "/v1/orders/"+cancelled+"/cancel", "")
	root.awaitOrder(cancelled, "paymentStatus", "VOIDED")

	got := ann.want(200, "GET", "/v1/orders/"+declined, "")
	if got.text("paymentStatus") != "DECLINED" || got.text("failure.code") != "payment-declined" || !strings.Contains(got.text("failure.detail"), "generic-decline") {
		t.Errorf("declined order is %s", got)
	}
	ann.balanced(declined, "")
	ann.balanced(cancelled, "authorize void")
	if p := s.anonymous().want(200, "GET", "/v1/products/KETTLE", ""); fmt.Sprintf("%v %v", p.at("stock"), p.at("available")) != "5 5" {
		t.Errorf("product is %s", p)
	}
	if a := root.want(200, "PATCH", "/v1/orders/"+declined+"/status", `{"status":"PENDING"}`); a.text("paymentStatus") != "NONE" {
		t.Errorf("reopened is %s", a)
	}
}

// C8: hold, release, complete, delete.
func TestFulfilment(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root, ann := s.admin(), s.user("ann")
	root.product("KETTLE", 5)
	id := ann.order("KETTLE", 1)
	path := "/v1/orders/" + id
	root.awaitOrder(id, "status", "PROCESSING")

	root.want(422, "POST", path+"/hold", `{}`)
	held := root.want(200, "POST", path+"/hold", `{"reason":"address?"}`)
	if held.text("heldFrom") != "PROCESSING" || held.text("reason") != "address?" {
		t.Errorf("held is %s", held)
	}
	if refused := root.want(409, "PATCH", path+"/status", `{"status":"SHIPPED"}`); fmt.Sprint(refused.at("allowed")) != "[PROCESSING CANCELLED]" {
		t.Errorf("refused with %s", refused)
	}
	root.want(412, "POST", path+"/release", "", `If-Match: "1"`)
	root.want(200, "POST", path+"/release", "", "If-Match: "+held.header.Get("ETag"))
	root.want(409, "POST", path+"/release", "")
	root.want(200, "PATCH", path+"/status", `{"status":"COMPLETED"}`)
	root.awaitOrder(id, "paymentStatus", "CAPTURED")
	root.want(409, "PATCH", path+"/status", `{"status":"CANCELLED"}`)
	root.want(204, "DELETE", path, "")
	root.want(404, "DELETE", path, "")
	ann.want(404, "GET", path, "")

	live := ann.order("KETTLE", 2)
	root.awaitOrder(live, "status", "PROCESSING")
	root.want(204, "DELETE", "/v1/orders/"+live, "")
	if p := s.anonymous().want(200, "GET", "/v1/products/KETTLE", ""); fmt.Sprintf("%v %v", p.at("stock"), p.at("available")) != "4 4" {
		t.Errorf("product is %s", p)
	}
}

// D3 (dead letters): what gave up is listed, tried again, left, or ended.
func TestDeadLettersOverHTTP(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root, ann := s.admin(), s.user("ann")
	root.product("KETTLE", 50)
	var ids []string
	for range 3 {
		id := ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}],"paymentMethod":"pm_sim_captureFails"}`).text("id")
		root.awaitOrder(id, "status", "PROCESSING")
		root.want(200, "PATCH", "/v1/orders/"+id+"/status", `{"status":"SHIPPED"}`)
		root.awaitOrder(id, "stalled", "capture")
		ids = append(ids, id)
	}

	list := root.want(200, "GET", "/v1/dead-letters?step=capture&limit=2", "")
	if len(list.at("data").([]any)) != 2 || list.at("nextCursor") == nil || list.text("data.0.orderId") != ids[0] {
		t.Fatalf("dead letters are %s", list)
	}
	one := "/v1/dead-letters/" + list.text("data.0.id")
	if l := root.want(200, "GET", one, ""); l.text("orderStatus") != "SHIPPED" || l.text("step") != "capture" || !strings.Contains(l.text("error"), "rejected") {
		t.Errorf("dead letter is %s", l)
	}
	root.want(409, "POST", one+"/cancel", "")
	root.want(422, "POST", one+"/skip", "")
	root.want(200, "POST", one+"/skip", `{"reason":"paid in cash"}`)
	root.want(409, "POST", one+"/retry", "")

	dry := root.want(200, "POST", "/v1/dead-letters/bulk", `{"action":"retry","filter":{"step":"capture"},"dryRun":true}`)
	if n := len(dry.at("data").([]any)); n != 2 || dry.at("data.0.done") != false {
		t.Errorf("the dry run is %s", dry)
	}
	done := root.want(200, "POST", "/v1/dead-letters/bulk", `{"action":"retry","filter":{"step":"capture"}}`)
	if n := len(done.at("data").([]any)); n != 2 || done.at("data.1.done") != true {
		t.Errorf("the bulk retry is %s", done)
	}
	root.awaitOrder(ids[1], "stalled", "capture") // it gives up again
	if types := root.types(ids[1]); !slices.Contains(types, "order.retried") {
		t.Errorf("history is %v", types)
	}
	if types := root.types(ids[0]); types[len(types)-1] != "order.skipped" {
		t.Errorf("history is %v", types)
	}
}

func (c *client) types(id string) (types []string) {
	c.t.Helper()
	for _, e := range c.want(200, "GET", "/v1/orders/"+id+"/events", "").at("data").([]any) {
		types = append(types, e.(map[string]any)["type"].(string))
	}
	return types
}

// awaitOrder polls until a member of an order has a value: the job that brings it
// about runs on its own.
func (c *client) awaitOrder(id, member, want string) {
	c.t.Helper()
	var last answer
	testwait.Until(c.t, "order "+id+" to have "+member+" "+want, func() bool {
		last = c.want(200, "GET", "/v1/orders/"+id, "")
		return fmt.Sprint(last.at(member)) == want
	})
}

// balanced checks that an order's debits equal its credits, and what moved.
func (c *client) balanced(id, kinds string) {
	c.t.Helper()
	sums, moved := map[string]int64{}, []string{}
	ledger := c.want(200, "GET", "/v1/orders/"+id+"/ledger", "")
	for _, e := range ledger.at("data").([]any) {
		entry := e.(map[string]any)
		amount, err := entry["amount"].(map[string]any)["amount"].(json.Number).Int64()
		if err != nil {
			c.t.Fatal(err)
		}
		sums[entry["direction"].(string)] += amount
		if entry["direction"] == "debit" {
			moved = append(moved, entry["type"].(string))
		}
	}
	if sums["debit"] != sums["credit"] || strings.Join(moved, " ") != kinds {
		c.t.Errorf("want %q, got %s", kinds, ledger)
	}
}
