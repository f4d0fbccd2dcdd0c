package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const costLimit = 8 << 20

// costly serves routes of every kind, and counts the requests that reach a handler.
func costly(t *testing.T) (addr string, seen *atomic.Int64) {
	t.Helper()
	seen = &atomic.Int64{}
	log := slog.New(slog.DiscardHandler)
	app := fiber.New(Config(Options{Log: log}))
	app.Use(Recover(log), RequestID(), func(c *fiber.Ctx) error {
		seen.Add(1)
		return c.Next()
	}, ClientAddress(nil), JSONOnly(), Deadline(5*time.Second), asRole, asUser)
	api := New(app, Options{Log: log})
	Handle(api, Route{Method: "POST", Path: "/v1/bulk", Name: "bulk", Role: identity.User, MaxBody: costLimit},
		func(context.Context, *struct {
			Body struct {
				Orders ItemwiseList[basket] `json:"orders" minItems:"1" maxItems:"1000" nullable:"false"`
			}
		}) (*struct{}, error) {
			return nil, nil
		})
	Handle(api, Route{Method: "POST", Path: "/v1/one", Name: "one", Role: identity.User},
		func(context.Context, *struct{ Body basket }) (*struct{}, error) { return nil, nil })
	Handle(api, Route{Method: "POST", Path: "/v1/login", Name: "login", Role: identity.Anyone},
		func(context.Context, *struct{ Body line }) (*struct{}, error) { return nil, nil })
	return listen(t, app), seen
}

// asUser is for tests with many users: which one is in the X-User header.
func asUser(c *fiber.Ctx) error {
	if id, err := uuid.Parse(c.Get("X-User")); err == nil {
		c.SetUserContext(identity.NewContext(c.UserContext(), identity.Caller{UserID: id, Role: identity.User}))
	}
	return c.Next()
}

// live is the memory that is in use once garbage is collected.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// peak is the most that was on the heap while work ran, with little garbage among it.
func peak(work func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(30))
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	before := live()
	most := before
	done := make(chan struct{})
	go func() { defer close(done); work() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return most - before
		case <-tick.C:
			metrics.Read(sample)
			most = max(most, int64(sample[0].Value.Uint64()))
		}
	}
}

// API4:2023, ASVS 5.0 15.2.2: what a stranger announces costs nothing, however it is
// announced and wherever it goes; only what arrives does. And others are served.
func TestAnnouncedBodiesCostNothing(t *testing.T) {
	addr, seen := costly(t)
	const connections = 600
	before := live()

	var all []net.Conn
	for i := range connections {
		method := []string{"POST", "PUT", "GET", "DELETE", "PATCH", "BREW"}[i%6]
		path := []string{"/v1/bulk", "/v1/one", "/v1/login", "/nowhere", "/v1/bulk?x=1"}[i/6%5]
		size := map[string]int{"/v1/bulk": costLimit, "/v1/login": BodyLimit}[path]
		head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n", method, path)
		if i%2 == 0 {
			head += fmt.Sprintf("Content-Length: %d\r\n\r\n {", max(size, 1_000_000))
		} else {
			head += "Transfer-Encoding: chunked\r\n\r\n7fffff\r\n {"
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write([]byte(head)); err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	await(t, func() bool { return seen.Load() >= connections })
	cost := live() - before

	client := &http.Client{Timeout: time.Second} // the promise itself
	defer client.CloseIdleConnections()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/one", strings.NewReader(`{`+goodItems+`}`))
	req.Header.Set("X-Role", "user")
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil || res.StatusCode != http.StatusNoContent {
		t.Errorf("another request: %v, %v", res, err)
	} else {
		_ = res.Body.Close()
	}
	if cost > 60<<20 {
		t.Errorf("%d connections cost %d MiB", len(all), cost>>20)
	}
}

// await waits for what another goroutine does.
func await(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(testwait.Limit)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Error("it never happened")
			return
		}
	}
}

// API4:2023, ASVS 5.0 15.2.2: ten bodies at once of what costs most to judge.
func TestLargeBodiesAreJudgedInLittleMemory(t *testing.T) {
	if raced {
		t.Skip("the race detector has a memory of its own, and takes minutes for this")
	}
	addr, _ := costly(t)
	members := func(n int) string {
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, `,"%x":%d`, i, i%10)
		}
		return s.String()[1:]
	}
	fill := func(before, each, after string, size int) string {
		return before + strings.Repeat(each, (size-len(before+after)-1)/len(each)) + after
	}
	each := func(order string) string {
		return `{"orders":[` + strings.Repeat(order+",", 999) + order + `]}`
	}
	for name, body := range map[string]string{
		"members of one":     `{"orders":[{"items":[],"free":{` + members(520_000) + `}}]}`,
		"members of all":     each(`{"items":[],"free":{` + members(510) + `}}`),
		"unknown members":    `{"orders":[{}],` + members(520_000) + `}`,
		"unknown in all":     each(`{` + members(510) + `}`),
		"duplicates":         `{"orders":[{"free":{` + members(500_000) + `,"0":1}}]}`,
		"arrays":             fill(`{"orders":[{"free":[`, `[],`, `1]}]}`, 1<<20),
		"a string":           fill(`{"orders":[{"note":"`, `\u0041`, `"}]}`, costLimit),
		"strings":            each(fill(`{"note":"`, `\u0041`, `"}`, 8000)),
		"a number":           fill(`{"orders":[{"big":1`, `0`, `}]}`, costLimit),
		"numbers":            each(fill(`{"big":1`, `0`, `}`, 8000)),
		"names":              each(fill(`{"`, `n`, `":[1]}`, 8000)),
		"lines":              each(fill(`{"items":[`, `{"sku":"","quantity":0},`, `{}]}`, 5000)),
		"NUL":                each(fill(`{"free":[`, `"\u0000",`, `1]}`, 8000)),
		"strings for orders": fill(`{"orders":[`, `"0123456789abcdef",`, `1]}`, costLimit),
	} {
		t.Run(name, func(t *testing.T) {
			var statuses sync.Map
			body := []byte(body) // once for all clients, whose memory is measured too
			cost := peak(func() {
				var all sync.WaitGroup
				for range 10 {
					all.Go(func() {
						head := fmt.Sprintf("POST /v1/bulk HTTP/1.1\r\nHost: x\r\nX-User: %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", uuid.New(), len(body))
						statuses.Store(ask(addr, []byte(head), body), true)
					})
				}
				all.Wait()
			})

			t.Logf("%d MiB", cost>>20)
			if cost > 150<<20 {
				t.Errorf("%d MiB", cost>>20)
			}
			statuses.Range(func(status, _ any) bool {
				if s := status.(int); s < 200 || s >= 500 && s != http.StatusServiceUnavailable {
					t.Errorf("answered %v", s)
				}
				return true
			})
		})
	}
}

// ask is the status of the answer to head and body, or 0.
func ask(addr string, head, body []byte) int {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0
	}
	defer conn.Close()
	for _, part := range [][]byte{head, body} {
		if _, err := conn.Write(part); err != nil {
			return 0
		}
	}
	first := make([]byte, len("HTTP/1.1 200"))
	_, _ = conn.Read(first)
	status := 0
	_, _ = fmt.Sscanf(string(first), "HTTP/1.1 %d", &status)
	return status
}
