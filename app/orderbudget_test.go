package app

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
)

func bulkOf(n int) string {
	return `{"orders":[` + strings.TrimSuffix(strings.Repeat(`{"items":[{"sku":"KETTLE","quantity":1}]},`, n), ",") + `]}`
}

// SPEC F13: over two nodes, an account places exactly so many orders, one by one and in bulk, with its
// keys too; other accounts are not affected.
func TestOrdersAreCountedExactly_F13(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.RedisURL = config.Secret(pgtest.NewRedis(t).URL)
	cfg.OrderRateLimit = config.Limit{Count: 40, Period: 400 * time.Hour}
	nodes := []*server{serveTest(t, cfg), serveTest(t, cfg)}
	nodes[0].admin().product("KETTLE", 1000)
	ann, bob := nodes[0].user("ann"), nodes[1].user("bob")
	_, machine := ann.key("orders:read", "orders:write")

	ann.want(200, "POST", "/v1/orders/bulk", bulkOf(20))
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		counted = map[int]int{}
	)
	for i := range 30 {
		c := []*client{ann, machine}[i%2].on(nodes[i/2%2])
		all.Go(func() {
			a, err := c.try("POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`)
			if err != nil {
				t.Error(err)
				return
			}
			if a.status == 429 && (!a.is(429, "too-many-orders") || a.text("policy") != "orders" || a.header.Get("Retry-After") == "") {
				t.Errorf("%s, Retry-After %q", a, a.header.Get("Retry-After"))
			}
			mu.Lock()
			defer mu.Unlock()
			counted[a.status]++
		})
	}
	all.Wait()

	if counted[201] != 20 || counted[429] != 10 {
		t.Errorf("answers by status: %v", counted)
	}
	ann.want(429, "POST", "/v1/orders/bulk", bulkOf(1))
	ann.want(200, "GET", "/v1/orders", "")
	bob.want(200, "POST", "/v1/orders/bulk", bulkOf(40))
}

// SPEC F13, F4: the fields of a response name the policy of orders beside that of requests. A bulk
// request that does not fit takes nothing. One that can never fit is a 422. Orders that are rejected
// count as well.
func TestFieldsOfTheOrderBudget_F13(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.RateLimit = config.Limit{Count: 1000, Period: 1000 * time.Hour}
	cfg.OrderRateLimit = config.Limit{Count: 10, Period: 10 * time.Hour}
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 1000)
	ann := s.user("ann")
	fields := func(a answer, left int) {
		t.Helper()
		policy, limit := a.header.Get("RateLimit-Policy"), a.header.Get("RateLimit")
		if policy != `"default";q=1000;w=3600000, "orders";q=10;w=36000` || !strings.Contains(limit, fmt.Sprintf(`, "orders";r=%d;t=`, left)) {
			t.Errorf("%d: RateLimit-Policy %s, RateLimit %s; want %d left", a.status, policy, limit, left)
		}
	}

	fields(ann.want(200, "POST", "/v1/orders/bulk", bulkOf(6)), 4)
	fields(ann.want(429, "POST", "/v1/orders/bulk", bulkOf(5)), 4)
	never := ann.want(422, "POST", "/v1/orders/bulk", bulkOf(11))
	if never.text("errors.0.pointer") != "/orders" || never.text("errors.0.code") != "max-items" || !strings.Contains(never.text("errors.0.message"), "10") {
		t.Errorf("%s", never)
	}
	fields(ann.want(422, "POST", "/v1/orders", `{"items":[{"sku":"UNKNOWN","quantity":1}]}`), 3)
	fields(ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`), 2)
	ann.want(422, "POST", "/v1/orders", `{"items":[]}`) // it does not reach the budget
	fields(ann.want(200, "POST", "/v1/orders/bulk", bulkOf(2)), 0)
	if a := ann.want(429, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`); a.header.Get("Retry-After") == "1" {
		t.Errorf("Retry-After is that of no limit: %v", a.header)
	}
	if a := ann.want(200, "GET", "/v1/orders", ""); a.header.Get("RateLimit-Policy") != `"default";q=1000;w=3600000` {
		t.Errorf("a request that places nothing: %v", a.header)
	}
}

// SPEC F13, C3: a repeated request costs nothing, and gets its stored response even beyond the budget. A
// conflict that may pass is not stored.
func TestReplaysCostNoOrders_F13(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.OrderRateLimit = config.Limit{Count: 10, Period: 100 * time.Hour}
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 1000)
	ann := s.user("ann")
	const one, taken = `{"reference":"PO-1","items":[{"sku":"KETTLE","quantity":1}]}`, `{"items":[{"sku":"KETTLE","quantity":1}],"note":"twice","reference":"PO-1"}`
	repeat := func(left string) {
		t.Helper()
		for _, a := range []answer{
			ann.want(201, "POST", "/v1/orders", one, "Idempotency-Key: one"),
			ann.want(200, "POST", "/v1/orders/bulk", bulkOf(5), "Idempotency-Key: many"),
		} {
			if a.header.Get("Idempotency-Replayed") != "true" || !strings.HasPrefix(a.header.Get("RateLimit"), left) {
				t.Errorf("%s, %v", a, a.header)
			}
		}
	}
	ann.want(201, "POST", "/v1/orders", one, "Idempotency-Key: one")
	ann.want(409, "POST", "/v1/orders", taken, "Idempotency-Key: taken")
	ann.want(200, "POST", "/v1/orders/bulk", bulkOf(3))
	ann.want(200, "POST", "/v1/orders/bulk", bulkOf(5), "Idempotency-Key: many")

	repeat(`"orders";r=0;`)
	repeat(`"orders";r=0;`)

	ann.want(429, "POST", "/v1/orders", taken, "Idempotency-Key: taken")
	ann.want(429, "POST", "/v1/orders", one, "Idempotency-Key: another")
	ann.want(422, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":2}]}`, "Idempotency-Key: one")
}

// SPEC F13: what a replay has taken is given back.
func TestReplaysGiveOrdersBack_F13(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.OrderRateLimit = config.Limit{Count: 10, Period: 100 * time.Hour}
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 1000)
	ann := s.user("ann")
	for range 5 {
		ann.want(200, "POST", "/v1/orders/bulk", bulkOf(4), "Idempotency-Key: many")
		a := ann.want(200, "POST", "/v1/orders/bulk", bulkOf(4), "Idempotency-Key: many")
		if got := a.header.Get("RateLimit"); !strings.HasPrefix(got, `"orders";r=6;`) {
			t.Errorf("RateLimit is %s", got)
		}
	}
	ann.want(200, "POST", "/v1/orders/bulk", bulkOf(6))
	ann.want(429, "POST", "/v1/orders/bulk", bulkOf(1))
}

// SPEC F13, F4: without Redis each node counts by itself, so that two nodes place twice as many.
func TestOrderBudgetWithoutRedis_F13(t *testing.T) {
	t.Parallel()
	redis := pgtest.NewRedis(t)
	cfg := settings(t)
	cfg.RedisURL = config.Secret(redis.URL)
	cfg.OrderRateLimit = config.Limit{Count: 10, Period: 100 * time.Hour}
	nodes := []*server{serveTest(t, cfg), serveTest(t, cfg)}
	nodes[0].admin().product("KETTLE", 1000)
	ann := nodes[0].user("ann")
	redis.Stop()

	for _, s := range nodes {
		ann.on(s).want(200, "POST", "/v1/orders/bulk", bulkOf(10))
		ann.on(s).want(429, "POST", "/v1/orders/bulk", bulkOf(1))
	}
}

// SPEC F14: several accounts behind one address share a wider limit; the same accounts from another
// address, and requests without a credential, do not.
func TestAccountsOfAnAddressShareALimit_F14(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.RedisURL = config.Secret(pgtest.NewRedis(t).URL)
	cfg.RateLimit = config.Limit{Count: 20, Period: 200 * time.Hour}
	cfg.RateLimitPerAddress = &config.Limit{Count: 50, Period: 500 * time.Hour}
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	nodes := []*server{serveTest(t, cfg), serveTest(t, cfg)}
	var accounts []*client
	for i := range 5 {
		accounts = append(accounts, nodes[i%2].user(fmt.Sprint("user", i)))
	}
	counted := map[string]int{}
	for i := range 100 {
		from := fmt.Sprintf("X-Forwarded-For: 2001:db8::%d", i+1)
		a := accounts[i/20].on(nodes[i%2]).send("GET", "/v1/users/me", "", from)
		if a.status == 200 && a.header.Get("RateLimit-Policy") != `"default";q=20;w=720000, "address";q=50;w=1800000` {
			t.Errorf("RateLimit-Policy is %s", a.header.Get("RateLimit-Policy"))
		}
		if a.status == 429 && (a.text("code") != "rate-limited" || a.header.Get("Retry-After") == "") {
			t.Errorf("%s, %v", a, a.header)
		}
		counted[fmt.Sprintf("%d %v", a.status, a.body["policy"])]++
	}

	if counted["200 <nil>"] != 50 || counted["429 address"] != 50 {
		t.Errorf("answers: %v", counted)
	}
	last := accounts[4]
	if a := last.send("GET", "/v1/users/me", "", "X-Forwarded-For: 192.0.2.7"); a.status != 429 || a.text("policy") != "default" {
		t.Errorf("an account with twenty requests of its own: %s", a) // also those that the address rejected count
	}
	if a := nodes[0].anonymous().send("GET", "/v1/products", "", "X-Forwarded-For: 2001:db8::1"); a.header.Get("RateLimit-Policy") != `"default";q=20;w=720000` || a.status != 200 && a.status != 401 {
		t.Errorf("without a credential: %s %v", a, a.header)
	}
}
