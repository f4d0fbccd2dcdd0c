package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// rightsAttacks are those by which a caller sees or does what another one may.
func rightsAttacks() []attack {
	return []attack{
		{name: "replay-after-demotion", refs: "CWE-863, CWE-524; API1; ASVS 8.3.2", need: private, does: "Repeats the idempotency key of an act after losing the role for it: of cancel, hold, refund and status.", do: replayAfterDemotion},
		{name: "deleted-order", refs: "CWE-212; API1; ASVS 8.2.2", need: private, does: "Reads a deleted order by its events, its idempotency key, its history, searches, exports and replays of webhooks.", do: deletedOrder},
		{name: "no-record", refs: "CWE-778; ASVS 16.2.1, 16.3.1 to 16.3.3", need: private, does: "Changes roles, prices and accounts, fails to log in, and looks for a record that names actor and subject.", do: noRecord},
		{name: "payment-test-tokens", refs: "CWE-489; API6", need: private, slow: true, does: "Pays with tokens that make the simulated provider fail, and places an order as another customer.", do: func(x *trial) { testTokens(x) }},
		{name: "payment-test-tokens-enabled", refs: "CWE-489; API6", need: private, slow: true, does: "Does the same in an installation for demonstrations, where test tokens are switched on.", do: func(x *trial) { testTokens(x, "PAYMENT_TEST_TOKENS=on") }},
		{name: "unpaid-stock", refs: "API6; ASVS 2.4.1", need: private, slow: true, does: "Holds the whole stock of a product with orders whose payment never succeeds.", do: unpaidStock},
		{name: "concurrent-refunds", refs: "CWE-362; ASVS 2.3.4; SPEC C8", need: private, does: "Refunds a whole order twenty times at once.", do: concurrentRefunds},
		{name: "oversold-stock", refs: "CWE-362; ASVS 2.3.4; SPEC B2", need: private, does: "Orders the last five units with forty buyers at once.", do: oversoldStock},
	}
}

func replayAfterDemotion(x *trial) {
	n := x.server()
	admin, victim, sku := x.administrator(n), x.user(n), x.product(n, -1)
	type act struct{ path, body string }
	acts := []act{
		{"/v1/orders/" + x.order(victim, sku, "note", "private") + "/cancel", `{}`},
		{"/v1/orders/" + x.order(victim, sku, "note", "private") + "/cancel", `{"reason":"x"}`},
		{"/v1/orders/" + x.settled(victim, sku, "note", "private") + "/hold", `{"reason":"x"}`},
	}
	for i, a := range acts {
		x.want(http.StatusOK, admin, "POST", a.path, a.body, fmt.Sprintf("Idempotency-Key: act-%d", i))
	}
	x.want(http.StatusOK, x.root(n), "PATCH", "/v1/users/"+admin.id, fields{"role": "user"})
	x.logIn(admin)
	for i, a := range acts {
		if r := admin.send(x, "POST", a.path, a.body, fmt.Sprintf("Idempotency-Key: act-%d", i)); strings.Contains(string(r.raw), "private") || r.status/100 == 2 {
			x.found("the stored response of %s is returned (%d)", a.path[strings.LastIndex(a.path, "/"):], r.status)
		}
	}
}

// settled places an order and waits until it is PROCESSING.
func (x *trial) settled(c *caller, sku string, more ...any) string {
	id := x.order(c, sku, more...)
	if !x.within(30*time.Second, func() bool { return x.status(c, id) == "PROCESSING" }) {
		x.fatal("order %s is %s after 30 s", id, x.status(c, id))
	}
	return id
}

func (x *trial) status(c *caller, order string) string {
	return c.send(x, "GET", "/v1/orders/"+order, nil).text("status")
}

func deletedOrder(x *trial) {
	n := x.server()
	u, root, sku := x.user(n), x.root(n), x.product(n, -1)
	r := x.receiver(nil)
	hook := x.hook(u, r.url, "enabled", false)
	const mark = "canarynote"
	body := orderOf(sku, "note", mark, "metadata", fields{"k": mark}, "reference", mark)
	id := x.want(http.StatusCreated, u, "POST", "/v1/orders", body, "Idempotency-Key: place").text("id")
	x.within(10*time.Second, func() bool { return x.status(u, id) == "PROCESSING" })
	x.want(http.StatusNoContent, root, "DELETE", "/v1/orders/"+id, nil)
	x.pause(time.Second)
	for _, c := range []*caller{u, root} {
		for _, path := range []string{
			"/v1/orders/" + id, "/v1/orders/" + id + "/events", "/v1/orders/" + id + "/ledger", "/v1/events?orderId=" + id, "/v1/events?limit=500", "/v1/events?types=order.created&limit=500",
			"/v1/orders?q=" + mark, "/v1/orders?reference=" + mark, "/v1/orders/export?format=ndjson", "/v1/orders/export?format=csv", "/v1/notifications",
		} {
			if a := c.send(x, "GET", path, nil); strings.Contains(string(a.raw), mark) {
				x.found("%s shows it", strings.ReplaceAll(path, id, "{id}"))
			}
		}
	}
	if a := u.send(x, "POST", "/v1/orders", body, "Idempotency-Key: place"); strings.Contains(string(a.raw), mark) && a.status/100 == 2 {
		x.found("its idempotency key replays it (%d)", a.status)
	}
	if a := u.send(x, "GET", "/v1/webhooks/"+hook+"/deliveries?limit=100", nil); strings.Contains(string(a.raw), mark) {
		x.found("deliveries of webhooks show it")
	}
	for _, place := range x.places(n, mark) {
		switch place {
		case "orders.note", "orders.metadata", "orders.reference":
			x.figure("kept in %s", place) // the order is deleted softly
		default:
			x.figure("stored in %s", place)
		}
	}
}

func noRecord(x *trial) {
	n := x.server()
	u, root, sku := x.user(n), x.root(n), x.product(n, -1)
	x.want(http.StatusOK, root, "PATCH", "/v1/users/"+u.id, fields{"role": "admin"})
	x.want(http.StatusOK, root, "PATCH", "/v1/products/"+sku, fields{"unitPrice": fields{"amount": 1, "currency": "EUR"}})
	wrong := x.caller(n)
	x.guess(wrong, u.mail, 1)
	x.want(http.StatusOK, root, "PATCH", "/v1/users/"+u.id, fields{"role": "user", "active": false})
	x.want(http.StatusNoContent, root, "DELETE", "/v1/users/"+u.id, nil)
	rootID := x.want(http.StatusOK, root, "GET", "/v1/users/me", nil).text("id")
	var trail answer
	complete := func() (missing []string) {
		trail = root.send(x, "GET", "/v1/audit?limit=100", nil)
		for _, action := range []string{"user.role-changed", "product.updated", "login.failed", "user.deactivated", "user.deleted"} {
			if !strings.Contains(string(trail.raw), `"`+action+`"`) {
				missing = append(missing, action)
			}
		}
		for _, id := range []string{u.id, sku, rootID} {
			if !strings.Contains(string(trail.raw), id) {
				missing = append(missing, "the id of actor or subject")
			}
		}
		return missing
	}
	x.within(5*time.Second, func() bool { return len(complete()) == 0 })
	if missing := complete(); len(missing) > 0 {
		x.found("not recorded (%d): %s", trail.status, strings.Join(missing, ", "))
	}
	if log := n.output.String(); strings.Contains(log, u.mail) || strings.Contains(log, u.token) {
		x.found("the log contains an e-mail address or a token")
	}
}

// testTokens lets one payer's payments fail, and measures another's order.
func testTokens(x *trial, env ...string) {
	n := x.fresh(env...)
	sku := x.product(n, -1)
	payer, other := x.user(n), x.user(n)
	began := time.Now()
	x.settled(other, sku)
	idle := time.Since(began)
	for range 30 {
		for _, token := range []string{"pm_sim_down", "pm_sim_timeout", "pm_sim_retry"} {
			payer.send(x, "POST", "/v1/orders", orderOf(sku, "paymentMethod", token))
		}
	}
	x.pause(3 * time.Second)
	began = time.Now()
	id := x.order(other, sku)
	done := x.within(20*time.Second, func() bool { return x.status(other, id) == "PROCESSING" })
	x.figure("another's order is PROCESSING after %s, %s before", short(time.Since(began)), short(idle))
	if !done || time.Since(began) > max(2*idle, 3*time.Second) {
		x.found("one customer's payments stop those of others")
	}
}

func unpaidStock(x *trial) {
	n := x.fresh("PAYMENT_TEST_TOKENS=on")
	sku := x.product(n, 100)
	payer, other := x.user(n), x.user(n)
	for range 100 {
		payer.send(x, "POST", "/v1/orders", orderOf(sku, "paymentMethod", "pm_sim_down"))
	}
	x.pause(5 * time.Second)
	id := x.order(other, sku)
	x.within(20*time.Second, func() bool { s := x.status(other, id); return s == "PROCESSING" || s == "FAILED" })
	a := other.send(x, "GET", "/v1/orders/"+id, nil)
	if a.text("failure.code") == "out-of-stock" {
		x.found("one account holds all 100 units without paying; another's order is out-of-stock")
	}
	x.figure("another's order is %s", a.text("status"))
}

func concurrentRefunds(x *trial) {
	n := x.server()
	root, u, sku := x.root(n), x.user(n), x.product(n, -1)
	id := x.settled(u, sku)
	x.want(http.StatusOK, root, "PATCH", "/v1/orders/"+id+"/status", fields{"status": "COMPLETED"})
	captured := func() string { return u.send(x, "GET", "/v1/orders/"+id, nil).text("paymentStatus") }
	x.within(20*time.Second, func() bool { return captured() == "CAPTURED" })
	results := make(chan answer)
	for i := range 20 {
		c := x.quiet(n)
		c.token = root.token
		go func() {
			results <- c.send(x, "POST", "/v1/orders/"+id+"/refunds", fields{"amount": fields{"amount": 1000, "currency": "EUR"}, "reason": fmt.Sprint("r", i)})
		}()
	}
	accepted := 0
	for range 20 {
		if a := <-results; a.status/100 == 2 {
			accepted++
		}
	}
	x.figure("%d of 20 accepted", accepted)
	if accepted > 1 {
		x.found("%d refunds of the whole amount", accepted)
	}
}

func oversoldStock(x *trial) {
	n := x.server()
	sku := x.product(n, 5)
	u := x.user(n)
	ids := make(chan string)
	for range 40 {
		go func() { ids <- u.send(x, "POST", "/v1/orders", orderOf(sku)).text("id") }()
	}
	sold := 0
	list := []string{}
	for range 40 {
		if id := <-ids; id != "" {
			list = append(list, id)
		}
	}
	for _, id := range list {
		x.within(30*time.Second, func() bool { s := x.status(u, id); return s != "PENDING" && s != "CONFIRMED" })
		if x.status(u, id) == "PROCESSING" {
			sold++
		}
	}
	x.figure("%d of %d orders got a unit", sold, len(list))
	if sold > 5 {
		x.found("%d units were sold of 5", sold)
	}
}
