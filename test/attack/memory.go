package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// memoryAttacks are those that use up the memory of a process. It has GOMEMLIMIT of 400 MiB and a hard
// limit, 512 MiB by default, at which the kernel refuses memory and a Go program ends.
func memoryAttacks() []attack {
	return []attack{
		{name: "announced-bodies", refs: "CWE-789, CWE-770; API4; ASVS 15.2.2", need: private, slow: true, does: "Announces 8 MiB by 2,000 connections without credentials, by Content-Length and in chunks, with several methods and paths, and sends nothing.", do: func(x *trial) { x.announced(false) }},
		{name: "announced-bodies-of-accounts", refs: "CWE-789, CWE-770; API4; ASVS 15.2.2", need: private, slow: true, does: "Does the same with the credentials of 20 accounts.", do: func(x *trial) { x.announced(true) }},
		{name: "bulk-trees", refs: "CWE-400, CWE-1325; API4; ASVS 15.2.2", need: private, slow: true, does: "Sends 20 bulk bodies at once, of 20 accounts, of each of the shapes that cost most to read.", do: bulkTrees},
		{name: "order-trees", refs: "CWE-400, CWE-1325; API4; ASVS 15.2.2", need: private, slow: true, does: "Sends 60 bodies of 1 MiB at once to the other routes that take a body.", do: orderTrees},
	}
}

// limited returns a server that cannot get more memory than the hard limit.
func (x *trial) limited() *node {
	wrapper := []string{"sh", "-c", fmt.Sprintf(`ulimit -d %d && exec "$0" "$@"`, x.opt.memory<<10)}
	return x.freshBehind(wrapper, "GOMEMLIMIT=400MiB")
}

// reading is a series of latencies of one kind of request.
type reading struct {
	took     []time.Duration
	failures int
	sample   string // the last failure
}

// lasting returns a condition that holds for a duration.
func lasting(d time.Duration) (going func() bool) {
	end := time.Now().Add(d)
	return func() bool { return time.Now().Before(end) }
}

// latencies makes requests one after the other, at most one in every, while going is true.
func (x *trial) latencies(going func() bool, every time.Duration, do func() error) (r reading) {
	for going() && x.Err() == nil {
		began := time.Now()
		if err := do(); err != nil {
			r.failures++
			r.sample = err.Error()
		}
		took := time.Since(began)
		r.took = append(r.took, took)
		wait(x, every-took)
	}
	return r
}

// orderly places orders of a customer while work runs, and judges whether one is answered within a
// second meanwhile.
func (x *trial) orderly(n *node, who *caller, sku string, work func()) {
	done := make(chan struct{})
	var r reading
	var over atomic.Bool
	go func() {
		defer close(done)
		r = x.latencies(func() bool { return !over.Load() }, 100*time.Millisecond, func() error {
			a := who.send(x, "POST", "/v1/orders", orderOf(sku))
			if a.status != http.StatusCreated {
				return fmt.Errorf("%s", a)
			}
			return nil
		})
	}()
	work()
	over.Store(true)
	<-done
	p95 := percentile(r.took, 0.95)
	x.figure("orders meanwhile: %d, p95 %s, slowest %s, %d failed", len(r.took), short(p95), short(percentile(r.took, 1)), r.failures)
	if !n.alive() {
		x.found("the process has ended: %s %s", n.cmd.ProcessState, n.fatal())
	} else if p95 > time.Second || r.failures*20 > len(r.took) {
		x.found("orders are not answered within a second (p95 %s, %d failed: %s)", short(p95), r.failures, r.sample)
	}
}

// resources prints the memory of the process, and judges whether it returns to normal.
func (x *trial) resources(n *node, work func()) {
	before, _, err := resident(n.cmd.Process.Pid)
	x.must(err, "read the memory of the process")
	work()
	if !n.alive() {
		return
	}
	_, peak, err := resident(n.cmd.Process.Pid)
	x.must(err, "read the memory of the process")
	after := 0
	x.within(30*time.Second, func() bool { after, _, _ = resident(n.cmd.Process.Pid); return after < before+100 })
	x.figure("RSS %d MiB before, peak %d, %d at last", before, peak, after)
	if n.alive() && after > before+200 {
		x.found("30 s later the process still has %d MiB, %d before", after, before)
	}
}

// announced opens connections that promise a body.
func (x *trial) announced(known bool) {
	n := x.limited()
	who, sku := x.user(n), x.product(n, -1)
	accounts := []*caller{x.caller(n)}
	if known {
		accounts = nil
		for range 20 {
			accounts = append(accounts, x.user(n))
		}
	}
	const many = 2000
	var conns []net.Conn
	var mu sync.Mutex
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	x.resources(n, func() {
		x.orderly(n, who, sku, func() {
			var refused atomic.Int32
			var some errgroup.Group
			some.SetLimit(32)
			for i := range many {
				some.Go(func() error {
					c := accounts[i%len(accounts)]
					conn, err := c.connect(x)
					if err != nil {
						refused.Add(1)
						return nil //nolint:nilerr // it is counted
					}
					mu.Lock()
					conns = append(conns, conn)
					mu.Unlock()
					_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
					_, _ = io.WriteString(conn, announcement(i, c.token))
					return nil
				})
			}
			_ = some.Wait()
			x.pause(3 * time.Second)
			x.figure("%d connections, %d refused", many, refused.Load())
		})
		for _, c := range conns {
			_ = c.Close()
		}
	})
}

// announcement is the head of a request that announces 8 MiB, with the first bytes of its body.
func announcement(i int, token string) string {
	method := []string{"POST", "POST", "PUT", "GET", "PATCH", "BREW"}[i%6]
	path := []string{"/v1/orders/bulk", "/v1/orders/bulk", "/v1/orders", "/nowhere", "/v1/auth/login", "/v1/orders/bulk?x=1"}[i/6%6]
	head := method + " " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	switch i % 4 {
	case 0, 1:
		return head + "Content-Length: 8388608\r\n\r\n "
	case 2:
		return head + "Transfer-Encoding: chunked\r\n\r\n7fffff\r\n {"
	default:
		return head + "Content-Length: 8388608\r\nExpect: 100-continue\r\n\r\n"
	}
}

// bulkLimit is the largest body of /v1/orders/bulk.
const bulkLimit = 8 << 20

type shape struct{ name, body string }

// repeated joins as many pieces as fit into size bytes, each of them with its number.
func repeated(size int, piece func(i int) string) string {
	var b strings.Builder
	for i := 0; ; i++ {
		p := piece(i)
		if b.Len()+len(p)+1 > size {
			return b.String()
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(p)
	}
}

// bulkShapes are bodies within the limit of size which cost most to read.
func bulkShapes(sku string) []shape {
	const size = bulkLimit - 4096
	item := `{"sku":"` + sku + `","quantity":1}`
	meta := func(inner string) string {
		return `{"orders":[{"items":[` + item + `],"metadata":{` + inner + `}}]}`
	}
	orders := func(one string, most int) string {
		n := 0
		return `{"orders":[` + repeated(size, func(int) string {
			if n++; n > most {
				return strings.Repeat(" ", size) // ends the list
			}
			return one
		}) + `]}`
	}
	return []shape{
		{"many small members of metadata", meta(repeated(size, func(i int) string { return fmt.Sprintf(`"%x":%d`, i, i%10) }))},
		{"many small values in a list", meta(`"a":[` + repeated(size, func(int) string { return "0" }) + `]`)},
		{"many empty objects", meta(`"a":[` + repeated(size, func(int) string { return "{}" }) + `]`)},
		{"deep nesting", meta(`"a":` + strings.Repeat("[", size/2) + strings.Repeat("]", size/2))},
		{"nesting of 60, many times", meta(`"a":[` + repeated(size, func(int) string { return strings.Repeat("[", 55) + strings.Repeat("]", 55) }) + `]`)},
		{"one long string", meta(`"a":"` + strings.Repeat("x", size) + `"`)},
		{"one long string of escapes", meta(`"a":"` + strings.Repeat(`\u0041`, size/6) + `"`)},
		{"one long name", meta(`"` + strings.Repeat("n", size) + `":1`)},
		{"duplicate members", meta(repeated(size, func(int) string { return `"a":1` }))},
		{"long numbers", meta(`"a":[` + repeated(size, func(int) string { return strings.Repeat("9", 300) + "e300" }) + `]`)},
		{"unknown members of the body", `{"orders":[],` + repeated(size, func(i int) string { return fmt.Sprintf(`"%x":1`, i) }) + `}`},
		{"1,000 orders with one item", orders(`{"items":[`+item+`]}`, 1000)},
		{"too many orders", orders(`{"items":[`+item+`]}`, 1<<30)},
		{"1,000 orders with 150 items", orders(`{"items":[`+repeated(8000, func(int) string { return item })+`]}`, 1000)},
		{"one order with as many items as fit", `{"orders":[{"items":[` + repeated(size, func(int) string { return item }) + `]}]}`},
		{"unknown skus", orders(`{"items":[`+repeated(8000, func(i int) string { return fmt.Sprintf(`{"sku":"none-%d","quantity":1}`, i) })+`]}`, 1000)},
		{"a fault in each item", orders(`{"items":[`+repeated(8000, func(int) string { return `{"sku":"","quantity":0,"x":1}` })+`]}`, 1000)},
		{"metadata of 16 KiB in each order", orders(`{"items":[`+item+`],"metadata":{"a":"`+strings.Repeat("x", 8000)+`"}}`, 1000)},
		{"white space", `{"orders":[` + strings.Repeat(" ", size) + `]}`},
		{"no end", `{"orders":[` + repeated(size, func(int) string { return `{"items":[{"sku":"x"` })},
	}
}

func bulkTrees(x *trial) {
	n := x.limited()
	who, sku := x.user(n), x.product(n, -1)
	accounts := make([]*caller, 20)
	for i := range accounts {
		accounts[i] = x.user(n)
	}
	shapes := bulkShapes(sku)
	highest := 0
	x.resources(n, func() {
		x.orderly(n, who, sku, func() {
			for _, s := range shapes {
				began := time.Now()
				forgetPeak(n.cmd.Process.Pid)
				statuses := x.atOnce(accounts, "/v1/orders/bulk", s.body)
				_, peak, _ := resident(n.cmd.Process.Pid)
				highest = max(highest, peak)
				x.figure("\n%-36s %6.1f MB, %6s, peak %d MiB, %v", s.name, float64(len(s.body))/1e6, short(time.Since(began)), peak, statuses)
				if statuses[0] > 0 { // a process that ends writes its stacks first
					x.within(5*time.Second, func() bool { return !n.alive() })
				}
				if !n.alive() {
					x.found("%s ended it", s.name)
					return
				}
				if took := time.Since(began); took > 20*time.Second || statuses[500] > 0 {
					x.found("%s: %v after %s", s.name, statuses, short(took))
				}
			}
		})
	})
	x.figure("%d shapes, highest RSS %d MiB", len(shapes), highest)
}

// atOnce posts a body as all accounts at once and counts the statuses.
func (x *trial) atOnce(accounts []*caller, path, body string) map[int]int {
	var mu sync.Mutex
	statuses := map[int]int{}
	var all sync.WaitGroup
	for _, c := range accounts {
		all.Go(func() {
			a := c.send(x, "POST", path, body)
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	all.Wait()
	return statuses
}

func orderTrees(x *trial) {
	n := x.limited()
	who, sku := x.user(n), x.product(n, -1)
	var accounts []*caller
	for i := range 60 {
		c := x.caller(n)
		if i%2 == 0 {
			c = x.user(n)
		}
		accounts = append(accounts, c)
	}
	const size = 1<<20 - 4096
	bodies := []string{
		`{"items":[],"metadata":{` + repeated(size, func(i int) string { return fmt.Sprintf(`"%x":1`, i) }) + `}}`,
		`{"email":"` + strings.Repeat(`\u0061`, size/6) + `","password":"x"}`,
		`{"email":"a@attack.example","password":"` + strings.Repeat("x", size) + `"}`,
		`{` + repeated(size, func(i int) string { return fmt.Sprintf(`"%x":1`, i) }) + `}`,
		strings.Repeat("[", size),
	}
	x.resources(n, func() {
		x.orderly(n, who, sku, func() {
			for _, path := range []string{"/v1/orders", "/v1/auth/login", "/v1/auth/register", "/v1/auth/refresh", "/v1/orders/quote", "/v1/webhooks"} {
				for _, body := range bodies {
					if statuses := x.atOnce(accounts, path, body); !n.alive() {
						x.found("%s ended it", path)
						return
					} else if statuses[500] > 0 {
						x.found("%s: %v", path, statuses)
					}
				}
			}
		})
	})
}
