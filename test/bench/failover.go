package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fasthttp/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/orderflow-dev/orderflow/internal/testport"
)

// Clients reconnect at a random moment within this time, so that they do not reconnect together.
const comeBack = 3 * time.Second

// failover kills a node with open sockets: all clients reconnect to the other node, each with its
// last cursor, and miss no event (SPEC E3).
func (b *bench) failover(ctx context.Context) error {
	s, err := b.serve(ctx, "api")
	if err != nil {
		return err
	}
	defer s.stop()
	twin, err := s.twin(ctx)
	if err != nil {
		return err
	}
	if err := s.people(ctx, b.opt.users); err != nil {
		return err
	}
	users := min(b.opt.users, b.opt.sockets)
	tokens, err := s.tokens(ctx, users)
	if err != nil {
		return err
	}

	b.report.title("A node is killed under its sockets, roles=api")
	n := b.opt.sockets / 2
	herd := make([]*follower, n)
	opening, _ := errgroup.WithContext(ctx)
	opening.SetLimit(32)
	for i := range herd {
		herd[i] = &follower{token: tokens[i%users], user: i % users}
		opening.Go(func() error { return herd[i].open(ctx, twin) })
	}
	if err := opening.Wait(); err != nil {
		return err
	}

	var following, placing sync.WaitGroup
	until, stop := context.WithCancel(ctx)
	defer stop()
	for _, f := range herd {
		following.Go(func() { f.follow(until, s) })
	}
	busy, enough := context.WithTimeout(ctx, comeBack*3)
	defer enough()
	placing.Go(func() { s.keepPlacing(busy, tokens, b.opt.rate/4) })
	pause(ctx, comeBack/2)
	killed := time.Now()
	_ = twin.cmd.Process.Signal(syscall.SIGKILL)
	<-twin.exited
	placing.Wait()

	missed, err := s.settle(ctx, herd)
	stop()
	following.Wait()
	if err != nil {
		return err
	}
	var back []time.Duration
	events := 0
	for _, f := range herd {
		f.close()
		events += len(f.ids)
		if f.back.IsZero() {
			b.report.print.fail("a socket did not come back", f.err())
			continue
		}
		back = append(back, f.back.Sub(killed))
	}
	value := func(what string, v float64, unit string) { b.report.value("failover", what, 0, v, unit) }
	value("sockets on the node that was killed", float64(n), fmt.Sprintf("of %d users", users))
	value("events that they were told, all in all", float64(events), "")
	value("sockets whose events are not those of the log", float64(missed), "")
	if missed > 0 {
		b.report.print.fail("events were missed, doubled or out of order", fmt.Sprint(missed, " sockets"))
	}
	b.report.columns()
	b.report.step("failover", fmt.Sprintf("kill -9 -> back on the other node, %s of it jitter", comeBack), 0, step{latency: summarize(back)})
	return nil
}

// twin starts another process on the same database.
func (s *server) twin(ctx context.Context) (*server, error) {
	port, err := testport.Reserve()
	if err != nil {
		return nil, err
	}
	t := &server{bench: s.bench, stderr: s.stderr, host: port.Address(), database: s.database, drop: func() {}}
	t.setup = t.client(8)
	if err := t.spawn("api", s.database, port.String(), nil); err != nil {
		return nil, err
	}
	return t, t.ready(ctx)
}

// keepPlacing places orders at a rate until ctx ends.
func (s *server) keepPlacing(ctx context.Context, tokens []string, rate int) {
	client := s.client(32)
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(time.Second / time.Duration(max(rate, 1)))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			all.Go(func() {
				if err := s.placer(client, tokens[i%len(tokens)], i).place(); err != nil {
					s.report.print.fail("an order was not placed", err.Error())
				}
			})
		}
	}
}

// settle waits until every follower has as many events as the log has for its user, and counts the
// followers whose events or their order differ.
func (s *server) settle(ctx context.Context, herd []*follower) (wrong int, err error) {
	truth := map[int][]string{}
	rows, err := s.db.Query(ctx, `select u.email, e.order_id || '/' || e.version from events e join users u on u.id = e.user_id order by e.xid, e.seq`)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		var address, id string
		if err := rows.Scan(&address, &id); err != nil {
			return 0, err
		}
		var user int
		if _, err := fmt.Sscanf(address, "user%d@", &user); err != nil {
			return 0, err
		}
		truth[user] = append(truth[user], id)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	deadline := time.Now().Add(30 * time.Second)
	for _, f := range herd {
		for f.count() < len(truth[f.user]) && time.Now().Before(deadline) {
			pause(ctx, 10*time.Millisecond)
		}
		f.mu.Lock()
		if !slices.Equal(f.ids, truth[f.user]) {
			wrong++
		}
		f.mu.Unlock()
	}
	return wrong, nil
}

// follower is a client that resumes after its last cursor.
type follower struct {
	token string
	user  int

	mu     sync.Mutex
	conn   *websocket.Conn
	cursor string
	ids    []string
	back   time.Time // time of the reconnection to another node
	last   error
}

func (f *follower) open(ctx context.Context, s *server) error {
	conn, first, err := s.dial(ctx, f.token, f.query())
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.last = err
		return err
	}
	f.conn = conn
	if f.cursor == "" {
		f.cursor = first.Cursor
	}
	return nil
}

func (f *follower) query() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor == "" {
		return ""
	}
	return url.Values{"after": {f.cursor}}.Encode()
}

// follow reads events, and connects to the other node when the connection ends.
func (f *follower) follow(ctx context.Context, other *server) {
	stop := context.AfterFunc(ctx, f.close)
	defer stop()
	for ctx.Err() == nil {
		_, text, err := f.conn.ReadMessage()
		if err == nil {
			err = f.take(text)
		}
		if err == nil {
			continue
		}
		for ctx.Err() == nil {
			pause(ctx, rand.N(comeBack)) //nolint:gosec // jitter, not a secret
			if f.open(ctx, other) == nil {
				f.mu.Lock()
				f.back = time.Now()
				f.mu.Unlock()
				break
			}
		}
	}
}

func (f *follower) take(text []byte) error {
	one, err := frameOf(text)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor = one.Cursor; one.ID != "" {
		f.ids = append(f.ids, one.ID)
	}
	return nil
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ids)
}

func (f *follower) err() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.last)
}

func (f *follower) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		_ = f.conn.Close()
	}
}

const slowSockets = 20

// slowReaders opens sockets that do not read while large orders are placed: they are closed with
// 4408, other sockets are not affected, and the slow ones resume without a gap (SPEC E6).
func (s *server) slowReaders(ctx context.Context) error {
	narrow := &websocket.Dialer{HandshakeTimeout: patience, NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}}
	start := ""
	var stuck [slowSockets]*websocket.Conn
	defer func() {
		for _, conn := range stuck {
			if conn != nil {
				_ = conn.Close()
			}
		}
	}()
	for i := range stuck {
		conn, first, err := s.dialWith(ctx, narrow, s.token, "")
		if err != nil {
			return err
		}
		stuck[i], start = conn, first.Cursor
	}
	before, err := s.metrics()
	if err != nil {
		return err
	}
	cut := func() (float64, error) {
		m, err := s.metrics()
		return m[`orderflow_socket_closed_total{code="4408"}`] - before[`orderflow_socket_closed_total{code="4408"}`], err
	}
	large := s.largeOrder()
	began, placed := time.Now(), 0
	for n := 0.0; n < slowSockets; placed++ {
		if err := large.place(); err != nil {
			return err
		}
		if n, err = cut(); err != nil {
			return err
		}
		if time.Since(began) > 2*time.Minute {
			s.report.print.fail("slow readers are not cut", fmt.Sprint(n, " of ", slowSockets))
			return nil
		}
	}
	value := func(what string, v float64, unit string) { s.report.value("sockets", what, 0, v, unit) }
	value("sockets that do not read, cut with 4408", slowSockets, fmt.Sprintf("after %d orders of 500 lines, %.1f s", placed, time.Since(began).Seconds()))

	conn, _, err := s.dial(ctx, s.token, url.Values{"after": {start}}.Encode())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for range placed {
		if _, _, err := conn.ReadMessage(); err != nil {
			s.report.print.fail("a slow reader misses events when it resumes", err.Error())
			return nil
		}
	}
	value("events that one of them reads when it resumes", float64(placed), "")
	return nil
}

// largeOrder returns an order with the maximum number of lines, so that its event is large too.
func (s *server) largeOrder() *placer {
	p := s.placer(s.setup, s.token, 0)
	lines := make([]string, 500)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"sku":%q,"quantity":1}`, products[i%len(products)].sku)
	}
	p.req.SetBodyString(`{"items":[` + strings.Join(lines, ",") + `]}`)
	return p
}
