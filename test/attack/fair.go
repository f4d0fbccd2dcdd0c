package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// contest is an attack by which one account or address uses up a shared resource. Another account's
// latencies are measured before, during and after it.
type contest struct {
	*trial
	node  *node
	sku   string
	thief *caller

	ctx   context.Context //nolint:containedctx // ends when the resource is given back, before that of the trial
	all   sync.WaitGroup
	calls atomic.Int64
	mu    sync.Mutex
	seen  map[int]int // statuses of the thief's requests
}

// fairRow is an entry of the table of contests.
type fairRow struct {
	name, does string
	orders     int    // of the thief, placed and processed before
	backlog    bool   // the attack leaves work behind, so that nothing is measured after it
	flood      bool   // the attack itself is nothing but many requests
	atHome     bool   // the victim logs in from networks with a session of it: log-ins from others compete with guesses (docs/security.md)
	also       string // a further request of the victim: METHOD path
	attack     func(c *contest)
}

const fairRefs = "CWE-770; API4; ASVS 2.4.1, 15.2.2; SPEC F10"

func fairAttacks() (list []attack) {
	for _, row := range fairRows() {
		list = append(list, attack{name: row.name, refs: fairRefs, does: row.does, need: private, slow: true, do: func(x *trial) { x.contend(row) }})
	}
	return list
}

func fairRows() []fairRow {
	return []fairRow{
		{name: "fair-sockets", does: "Opens 100 sockets that read the whole log again and again.", orders: 5000, attack: catchUp},
		{name: "fair-streams", does: "Opens 100 event streams that read the whole log again and again.", orders: 5000, attack: catchUpStreams},
		{name: "fair-idle-sockets", does: "Opens 1,000 sockets of one account and places orders that are told to each.", attack: idleSockets},
		{name: "fair-polls", does: "Waits for events with 1,000 requests.", attack: polls},
		{name: "fair-event-pages", does: "Reads the event log with 24 requests at once.", orders: 5000, also: "GET /v1/events?limit=50", attack: func(c *contest) { c.requests(24, "GET", "/v1/events?limit=500", "") }},
		{name: "fair-event-filters", does: "Searches the event log for rare types with 24 requests at once.", orders: 5000, also: "GET /v1/events?limit=50", attack: func(c *contest) { c.requests(24, "GET", "/v1/events?limit=500&types=order.stalled", "") }},
		{name: "fair-statistics", does: "Computes statistics with 24 requests at once.", orders: 5000, also: "GET /v1/orders/stats", attack: func(c *contest) { c.requests(24, "GET", "/v1/orders/stats", "") }},
		{name: "fair-searches", does: "Searches and lists with 24 requests at once.", orders: 5000, attack: func(c *contest) { c.requests(24, "GET", "/v1/orders?limit=100&q=e", "") }},
		{name: "fair-exports", does: "Reads eight exports slowly.", also: "GET /v1/orders/export?format=csv", attack: slowExports},
		{name: "fair-webhook-slots", does: "Sends 2,000 deliveries to 50 endpoints that never answer.", attack: hangingWebhooks},
		{name: "fair-webhook-fan-out", does: "Places 40 orders a second for an account with 50 endpoints.", attack: fanOut},
		{name: "fair-webhook-tests", does: "Tests endpoints that never answer, with 100 requests at once.", attack: hangingTests},
		{name: "fair-registrations", does: "Registers 30 accounts a second from one address.", attack: func(c *contest) { c.registrations(true) }},
		{name: "fair-registrations-of-many", does: "Registers 30 accounts a second, each from another address.", attack: func(c *contest) { c.registrations(false) }},
		{name: "fair-log-ins", does: "Tries passwords with 100 requests at once, each from another address.", atHome: true, attack: guesses},
		{name: "fair-bulk-orders", does: "Places bulk requests of 1,000 orders, six at once.", backlog: true, attack: bulkOrders},
		{name: "fair-refused-bulk", does: "Sends bulk requests of 1,000 orders with unknown skus, 30 at once.", attack: refusedBulk},
		{name: "fair-bodies", does: "Sends 60 bodies of 8 MiB slowly.", attack: slowBodies},
		{name: "fair-requests", does: "Sends four times as many requests as an account may.", flood: true, attack: func(c *contest) {
			c.flood(func(int) answer { return c.thief.send(c.ctx, "GET", "/v1/orders?limit=1", nil) })
		}},
		{name: "fair-strangers", does: "Sends four times as many requests as an address may, without credentials, to routes, probes and paths that do not exist.", flood: true, attack: strangers},
		{name: "fair-ended-tokens", does: "Sends four times as many requests as an account may with the token of an ended session.", flood: true, attack: func(c *contest) {
			c.want(http.StatusNoContent, c.thief, "POST", "/v1/auth/logout", nil)
			c.flood(func(int) answer { return c.thief.send(c.ctx, "GET", "/v1/orders", nil) })
		}},
		{name: "fair-refreshes", does: "Refreshes a session as fast as it can.", attack: func(c *contest) {
			c.flood(func(int) answer {
				return c.thief.send(c.ctx, "POST", "/v1/auth/refresh", fields{"refreshToken": c.thief.refresh})
			})
		}},
	}
}

// contend measures a victim's latencies when the server is idle, while the thief only uses up its limit of
// cheap requests, during the attack, and after it. The attacker and the server share the processors with
// the victim, which the second measurement shows.
func (x *trial) contend(row fairRow) {
	n := x.fresh()
	c := &contest{trial: x, node: n, sku: x.product(n, -1), seen: map[int]int{}}
	c.thief = x.user(n)
	v := x.victim(n, c.sku, row.also)
	if row.atHome {
		for range 6 { // of which each may log in ten times a minute
			v.homes = append(v.homes, x.again(v.c))
		}
	}
	c.backlogOf(row.orders)

	during := func(attack func(c *contest)) map[string]reading {
		ctx, cancel := context.WithCancel(x)
		defer c.all.Wait()
		defer cancel()
		c.ctx = ctx
		attack(c)
		x.pause(time.Second)
		return v.measure()
	}
	before, permitted := v.measure(), map[string]reading{}
	if !row.flood {
		permitted = during(func(c *contest) {
			c.flood(func(int) answer { return c.thief.send(c.ctx, "GET", "/v1/users/me", nil) })
		})
		c.seen = map[int]int{}
		x.pause(time.Second) // until the thief may make as many requests at once again
	}
	attacked, busy := during(row.attack), load()
	after := map[string]reading{}
	if !row.backlog {
		x.pause(2 * time.Second)
		after = v.measure()
	}
	x.figure("the attacker's responses: %v, load %s", c.seen, busy)
	for _, kind := range v.kinds() {
		x.compare(kind, attacked[kind], before[kind], permitted[kind], after[kind])
	}
}

// compare judges one kind of request. The reference is the largest of the latencies without the attack,
// because the load of the machine may change; the floor is a latency that nobody notices.
func (x *trial) compare(kind string, during, before, permitted, after reading) {
	idle := max(percentile(before.took, 0.95), percentile(permitted.took, 0.95), percentile(after.took, 0.95))
	now := percentile(during.took, 0.95)
	floor := x.opt.floor
	if kind != "place" && kind != "read" {
		floor *= 5 // they are few, and wait for the processor or for polling
	}
	ratio := float64(now) / float64(max(idle, time.Microsecond))
	x.figure("\n%-12s p95 %7s idle, %7s beside permitted requests, %7s attacked, %7s after, ratio %.1f, %d of %d failed", kind,
		short(percentile(before.took, 0.95)), short(percentile(permitted.took, 0.95)), short(now), short(percentile(after.took, 0.95)), ratio, during.failures, len(during.took))
	switch {
	case during.failures*10 > len(during.took):
		x.found("%s: %d of %d failed (%.100s)", kind, during.failures, len(during.took), during.sample)
	case now > 2*idle && now > floor:
		x.found("%s takes %.1f times as long (%s)", kind, ratio, short(now))
	}
}

// backlogOf places orders of the thief and waits until they are processed.
func (c *contest) backlogOf(orders int) {
	if orders == 0 {
		return
	}
	body := c.bulk(500, c.sku)
	for range orders / 500 {
		c.want(http.StatusOK, c.thief, "POST", "/v1/orders/bulk", body)
	}
	done := c.within(3*time.Minute, func() bool {
		var open int
		err := c.node.db.QueryRow(c, `select count(*) from orders where status in ('PENDING', 'CONFIRMED')`).Scan(&open)
		return err == nil && open == 0
	})
	if !done {
		c.fatal("the orders are not processed after three minutes")
	}
}

// bulk is the body of a bulk request.
func (c *contest) bulk(orders int, sku string) string {
	return `{"orders":[` + strings.TrimSuffix(strings.Repeat(`{"items":[{"sku":"`+sku+`","quantity":1}]},`, orders), ",") + `]}`
}

// victim is the account whose latencies count.
type victim struct {
	*trial
	c    *caller
	sku  string
	hook *receiver
	also string

	homes []*caller // networks with a session of the victim, if it logs in from these
	home  int
}

// elsewhere is where the victim logs in from next.
func (v *victim) elsewhere() *caller {
	if len(v.homes) == 0 {
		return v.quiet(v.c.node)
	}
	v.home++
	return v.homes[v.home%len(v.homes)]
}

func (x *trial) victim(n *node, sku, also string) *victim {
	v := &victim{trial: x, c: x.user(n), sku: sku, also: also, hook: x.receiver(nil)}
	x.hook(v.c, v.hook.url, "types", []string{"order.created"})
	for range 5 { // connections, caches and prepared statements
		x.order(v.c, sku)
	}
	return v
}

func (v *victim) kinds() []string {
	list := []string{"place", "read", "log in", "webhook", "processing"}
	if v.also != "" {
		list = append(list, v.also)
	}
	return list
}

// tooLong is what a webhook or the processing of an order counts as that did not happen in time.
const tooLong = 15 * time.Second

// measure makes all kinds of requests at the same time, at low rates.
func (v *victim) measure() map[string]reading {
	var mu sync.Mutex
	all := map[string]reading{}
	var each sync.WaitGroup
	run := func(kind string, every time.Duration, do func() error) {
		each.Go(func() {
			r := v.latencies(lasting(v.opt.step), every, do)
			mu.Lock()
			defer mu.Unlock()
			all[kind] = r
		})
	}
	status := func(a answer, want int) error {
		if a.status == want {
			return nil
		}
		return fmt.Errorf("%s", a)
	}
	sent := map[string]time.Time{}
	run("place", 100*time.Millisecond, func() error {
		began := time.Now()
		a := v.c.send(v, "POST", "/v1/orders", orderOf(v.sku))
		if id := a.text("id"); id != "" {
			sent[id] = began // only this goroutine writes, and it has ended before it is read
		}
		return status(a, http.StatusCreated)
	})
	run("read", 100*time.Millisecond, func() error { return status(v.c.send(v, "GET", "/v1/orders?limit=20", nil), http.StatusOK) })
	run("log in", 500*time.Millisecond, func() error {
		return status(v.elsewhere().send(v, "POST", "/v1/auth/login", fields{"email": v.c.mail, "password": v.c.pass}), http.StatusOK)
	})
	if method, path, ok := strings.Cut(v.also, " "); ok {
		run(v.also, 250*time.Millisecond, func() error { return status(v.c.send(v, method, path, nil), http.StatusOK) })
	}
	var processed []time.Duration
	var polls sync.WaitGroup
	for end := time.Now().Add(v.opt.step); time.Now().Before(end) && v.Err() == nil; wait(v, 500*time.Millisecond) {
		polls.Go(func() {
			took := v.processing()
			mu.Lock()
			defer mu.Unlock()
			if took > 0 {
				processed = append(processed, took)
			}
		})
	}
	polls.Wait()
	each.Wait()
	all["processing"] = judged(processed)
	v.within(tooLong, func() bool {
		for id := range sent {
			if v.hook.told(id).IsZero() {
				return false
			}
		}
		return true
	})
	var delivered []time.Duration
	for id, at := range sent {
		took := tooLong
		if got := v.hook.told(id); !got.IsZero() {
			took = got.Sub(at)
		}
		delivered = append(delivered, took)
	}
	all["webhook"] = judged(delivered)
	return all
}

// judged counts what took too long as failed.
func judged(took []time.Duration) (r reading) {
	r.took = took
	for _, d := range took {
		if d >= tooLong {
			r.failures++
			r.sample = "not within " + tooLong.String()
		}
	}
	return r
}

// processing places an order and returns the time until it is PROCESSING; zero if it could not be
// placed, which is counted elsewhere.
func (v *victim) processing() time.Duration {
	began := time.Now()
	id := v.c.send(v, "POST", "/v1/orders", orderOf(v.sku)).text("id")
	if id == "" {
		return 0
	}
	for time.Since(began) < tooLong && v.Err() == nil {
		if v.status(v.c, id) == "PROCESSING" {
			return time.Since(began)
		}
		wait(v, 30*time.Millisecond)
	}
	return tooLong
}

// The attacks. Each starts goroutines of c.all that end with c.ctx.

// count records the status of a request of the thief, and pauses when it was refused: what is measured
// are the resources that the thief got. Floods beyond the limits are measured by attacks of their own,
// which pause for a shorter time.
func (c *contest) count(status int) { c.countAndPause(status, 500*time.Millisecond) }

func (c *contest) countAndPause(status int, pause time.Duration) {
	c.mu.Lock()
	c.seen[status]++
	c.mu.Unlock()
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == 0 {
		wait(c.ctx, pause)
	}
}

// loop runs do in so many goroutines until the attack ends.
func (c *contest) loop(many int, do func(i int)) {
	for range many {
		c.all.Go(func() {
			for c.ctx.Err() == nil {
				do(int(c.calls.Add(1)))
			}
		})
	}
}

// flood sends about four times as many requests as an account or address may send.
func (c *contest) flood(do func(i int) answer) {
	c.loop(16, func(i int) { c.countAndPause(do(i).status, 20*time.Millisecond) })
}

func (c *contest) requests(many int, method, path, body string) {
	c.loop(many, func(int) {
		var b any
		if body != "" {
			b = body
		}
		c.count(c.thief.send(c.ctx, method, path, b).status)
	})
}

// oldest returns the cursor of the thief's first event.
func (c *contest) oldest() string {
	return c.want(http.StatusOK, c.thief, "GET", "/v1/events?limit=1", nil).text("nextCursor")
}

func catchUp(c *contest) {
	query := "?after=" + c.oldest()
	c.loop(100, func(int) {
		conn, status, err := c.thief.socket(c.ctx, query)
		c.count(status)
		if err != nil {
			return
		}
		stop := context.AfterFunc(c.ctx, func() { _ = conn.Close() })
		defer stop()
		defer conn.Close()
		for range 10_000 {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	})
}

func catchUpStreams(c *contest) {
	path := "/v1/events/stream?after=" + c.oldest()
	c.loop(100, func(int) {
		ctx, cancel := context.WithTimeout(c.ctx, 2*time.Second)
		defer cancel()
		res, err := c.thief.stream(ctx, path, 0)
		if err != nil {
			c.count(0)
			return
		}
		defer res.Body.Close()
		c.count(res.StatusCode)
		_, _ = io.Copy(io.Discard, res.Body) // until the time is over
	})
}

func idleSockets(c *contest) {
	for range 1000 {
		conn, status, err := c.thief.socket(c.ctx, "")
		c.count(status)
		if err != nil {
			if status == http.StatusTooManyRequests {
				break // the thief has all that it gets
			}
			continue
		}
		c.all.Go(func() {
			stop := context.AfterFunc(c.ctx, func() { _ = conn.Close() })
			defer stop()
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		})
	}
	c.loop(2, func(int) { c.count(c.thief.send(c.ctx, "POST", "/v1/orders", orderOf(c.sku)).status) })
}

func polls(c *contest) {
	a := c.want(http.StatusOK, c.thief, "GET", "/v1/events?limit=500", nil)
	c.loop(1000, func(int) {
		r := c.thief.send(c.ctx, "GET", "/v1/events?wait=20&after="+a.text("nextCursor"), nil)
		c.countAndPause(r.status, time.Minute) // those that wait are measured, not a flood
	})
	began := time.Now()
	c.within(10*time.Second, func() bool { // until the rest has been refused
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.seen[http.StatusTooManyRequests] > 900 || time.Since(began) > 5*time.Second
	})
}

func slowExports(c *contest) {
	c.fill(c.node, c.thief)
	c.loop(8, func(int) {
		res, err := c.thief.stream(c.ctx, "/v1/orders/export?format=ndjson", 16<<10)
		if err != nil {
			c.count(0)
			return
		}
		defer res.Body.Close()
		c.count(res.StatusCode)
		part := make([]byte, 8<<10)
		for c.ctx.Err() == nil { // 80 KB/s
			if _, err := res.Body.Read(part); err != nil {
				return
			}
			wait(c.ctx, 100*time.Millisecond)
		}
	})
}

// hooks creates endpoints of the thief that never answer.
func (c *contest) hooks(many int) (r *receiver, ids []string) {
	r = c.hanging()
	for range many {
		ids = append(ids, c.hook(c.thief, r.url))
	}
	return r, ids
}

func hangingWebhooks(c *contest) {
	r, _ := c.hooks(50)
	for range 5 {
		c.count(c.thief.send(c.ctx, "POST", "/v1/orders/bulk", c.bulk(10, c.sku)).status)
	}
	c.pause(2 * time.Second)
	count, most := r.requests()
	c.figure("%d requests to endpoints that hang, %d at once", count, most)
}

// fanOut causes 10,000 deliveries a second. The endpoints answer at once.
func fanOut(c *contest) {
	r := c.receiver(nil)
	for range 50 {
		c.hook(c.thief, r.url)
	}
	body := c.bulk(40, c.sku)
	c.all.Go(func() {
		for c.ctx.Err() == nil {
			c.count(c.thief.send(c.ctx, "POST", "/v1/orders/bulk", body).status)
			wait(c.ctx, time.Second)
		}
	})
	c.pause(3 * time.Second)
}

func hangingTests(c *contest) {
	_, ids := c.hooks(50)
	c.loop(100, func(i int) {
		c.count(c.thief.send(c.ctx, "POST", "/v1/webhooks/"+ids[i%len(ids)]+"/test", nil).status)
	})
}

// registrations registers 30 accounts a second, all from one address if together is true, or
// each from a new one.
func (c *contest) registrations(together bool) {
	one := c.quiet(c.node)
	for i := range 30 {
		c.all.Go(func() {
			wait(c.ctx, time.Duration(i)*time.Second/30)
			for c.ctx.Err() == nil {
				began := time.Now()
				who := one
				if !together {
					who = c.quiet(c.node)
				}
				c.count(c.register(who, someone()).status)
				wait(c.ctx, time.Second-time.Since(began))
			}
		})
	}
}

func guesses(c *contest) {
	c.loop(100, func(i int) { c.count(c.guess(c.quiet(c.node), someone(), i)) })
}

func bulkOrders(c *contest) {
	body := c.bulk(1000, c.sku)
	c.requests(6, "POST", "/v1/orders/bulk", body)
	c.pause(5 * time.Second) // a backlog
}

func refusedBulk(c *contest) {
	c.loop(30, func(i int) {
		c.count(c.thief.send(c.ctx, "POST", "/v1/orders/bulk", c.bulk(1000, fmt.Sprintf("NONE-%d", i))).status)
	})
}

func slowBodies(c *contest) {
	part := []byte(strings.Repeat(" ", 256<<10))
	c.loop(60, func(int) {
		conn, err := c.thief.connect(c.ctx)
		if err != nil {
			c.count(0)
			return
		}
		defer conn.Close()
		stop := context.AfterFunc(c.ctx, func() { _ = conn.Close() })
		defer stop()
		_, _ = io.WriteString(conn, "POST /v1/orders/bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "+c.thief.token+"\r\nContent-Length: 8388608\r\n\r\n{")
		for c.ctx.Err() == nil {
			if _, err := conn.Write(part); err != nil {
				break
			}
			wait(c.ctx, 300*time.Millisecond)
		}
		c.count(-1) // no response is read
	})
}

func strangers(c *contest) {
	stranger := c.quiet(c.node)
	stranger.http.Transport.(*http.Transport).DisableKeepAlives = false
	paths := []string{"/v1/products", "/health", "/metrics", "/nowhere", "/docs/x", "/livez", "/v1/orders"}
	c.flood(func(i int) answer { return stranger.send(c.ctx, "GET", paths[i%len(paths)], nil) })
}
