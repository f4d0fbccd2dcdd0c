package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

const (
	adminSockets = 100
	spareFiles   = 200 // file descriptors for everything except sockets
	frameWithin  = 10 * time.Second
)

// sockets opens many sockets, and measures the time of single events to them.
func (b *bench) sockets(ctx context.Context) error {
	s, err := b.serve(ctx, "api")
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.people(ctx, b.opt.users); err != nil {
		return err
	}
	users := min(b.opt.users, b.opt.sockets)
	tokens, err := s.tokens(ctx, users)
	if err != nil {
		return err
	}

	b.report.title("Sockets, roles=api")
	before, err := s.memory()
	if err != nil {
		return err
	}
	n := min(b.opt.sockets, int(before.files)-spareFiles-adminSockets)
	crowd := &crowd{server: s, arrived: make(chan arrival, 1024)}
	defer crowd.close()
	began := time.Now()
	if err := crowd.open(ctx, n, func(i int) string { return tokens[i%users] }); err != nil {
		return err
	}
	value := func(what string, v float64, unit string) { b.report.value("sockets", what, 0, v, unit) }
	value("sockets open", float64(n), fmt.Sprintf("of %d users", users))
	value("time to open them all", time.Since(began).Seconds(), "s")
	after, err := s.memory()
	if err != nil {
		return err
	}
	value("resident memory of the server", after.resident/(1<<20), "MiB")
	value("resident memory more, for each socket", (after.resident-before.resident)/float64(n)/1024, "KiB")
	value("heap more, for each socket", (after.heap-before.heap)/float64(n)/1024, "KiB")
	value("stacks more, for each socket", (after.stacks-before.stacks)/float64(n)/1024, "KiB")

	b.report.columns()
	perUser := func(i int) int { return (n - i%users + users - 1) / users }
	if err := crowd.time(ctx, "to its owner's socket", tokens, b.opt.rounds, perUser); err != nil {
		return err
	}
	if err := crowd.open(ctx, adminSockets, func(int) string { return s.token }); err != nil {
		return err
	}
	err = crowd.time(ctx, fmt.Sprintf("to it and %d administrators'", adminSockets), tokens, b.opt.rounds,
		func(i int) int { return perUser(i) + adminSockets })
	if err != nil {
		return err
	}
	crowd.close()
	if err := b.toAll(ctx, s, n, tokens); err != nil {
		return err
	}
	return s.slowReaders(ctx)
}

// toAll measures the time of single events to all open sockets.
func (b *bench) toAll(ctx context.Context, s *server, n int, tokens []string) error {
	all := &crowd{server: s, arrived: make(chan arrival, 1024)}
	defer all.close()
	if err := all.open(ctx, n, func(int) string { return s.token }); err != nil {
		return err
	}
	return all.time(ctx, fmt.Sprintf("to all of %d sockets", n), tokens, min(b.opt.rounds, 20), func(int) int { return n })
}

// memory returns the memory of the server according to its metrics.
type memory struct{ resident, heap, stacks, files float64 }

func (s *server) memory() (memory, error) {
	m, err := s.metrics()
	return memory{
		resident: m["process_resident_memory_bytes"],
		heap:     m["go_memstats_heap_inuse_bytes"],
		stacks:   m["go_memstats_stack_inuse_bytes"],
		files:    m["process_max_fds"] - m["process_open_fds"],
	}, err
}

// arrival is a frame about an order.
type arrival struct {
	order uuid.UUID
	at    time.Time
}

// crowd is a set of open sockets whose frames arrive in one channel.
type crowd struct {
	*server
	arrived chan arrival
	closing atomic.Bool

	mu    sync.Mutex
	conns []*websocket.Conn
	all   sync.WaitGroup
}

// open opens n more sockets and waits for the ready frame of each.
func (c *crowd) open(ctx context.Context, n int, token func(i int) string) error {
	some, ctx := errgroup.WithContext(ctx)
	some.SetLimit(32)
	for i := range n {
		some.Go(func() error {
			conn, _, err := c.dial(ctx, token(i), "")
			if err != nil {
				return fmt.Errorf("open socket %d: %w", i+1, err)
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			c.all.Go(func() { c.listen(conn) })
			return nil
		})
	}
	return some.Wait()
}

func (c *crowd) listen(conn *websocket.Conn) {
	for {
		_, text, err := conn.ReadMessage()
		at := time.Now()
		if err != nil {
			if !c.closing.Load() {
				c.report.print.fail("a socket ended", err.Error())
			}
			return
		}
		f, err := frameOf(text)
		if err != nil {
			c.report.print.fail("a frame cannot be read", err.Error())
			return
		}
		c.arrived <- arrival{f.Subject, at}
	}
}

func (c *crowd) close() {
	if !c.closing.CompareAndSwap(false, true) {
		return
	}
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	done := make(chan struct{})
	go func() { c.all.Wait(); close(done) }()
	for {
		select {
		case <-c.arrived: // a sender may be waiting
		case <-done:
			return
		}
	}
}

// time places one order after the other and waits for all frames about it. There is no other load:
// it measures the latency of a single event.
func (c *crowd) time(ctx context.Context, what string, tokens []string, rounds int, expected func(i int) int) error {
	client := c.client(1)
	defer client.CloseIdleConnections()
	var sent, answered, slowest []time.Duration
	for i := range rounds {
		p := c.placer(client, tokens[i%len(tokens)], i)
		began := time.Now()
		if err := p.place(); err != nil {
			return err
		}
		now := time.Now()
		order, err := p.placed()
		if err != nil {
			return err
		}
		last := time.Duration(0)
		for range expected(i) {
			at, err := c.await(ctx, order)
			if err != nil {
				return err
			}
			sent, answered = append(sent, at.Sub(began)), append(answered, at.Sub(now))
			last = max(last, at.Sub(began))
		}
		slowest = append(slowest, last)
	}
	c.report.step("sockets", "order sent -> frame "+what, 0, step{latency: summarize(sent)})
	c.report.step("sockets", "  of these, 201 received -> frame", 0, step{latency: summarize(answered)})
	c.report.step("sockets", "  order sent -> the last of its frames", 0, step{latency: summarize(slowest)})
	return nil
}

func (c *crowd) await(ctx context.Context, order uuid.UUID) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, frameWithin)
	defer cancel()
	for {
		select {
		case a := <-c.arrived:
			if a.order == order {
				return a.at, nil
			}
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("a frame of order %s: %w", order, ctx.Err())
		}
	}
}

// frame has the members of a frame that are used here.
type frame struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Subject uuid.UUID `json:"subject"`
	Cursor  string    `json:"cursor"`
}

func frameOf(text []byte) (f frame, err error) {
	err = json.Unmarshal(text, &f)
	return f, err
}

// dial opens a socket and reads its first frame, which has the start cursor.
func (s *server) dial(ctx context.Context, token, query string) (*websocket.Conn, frame, error) {
	return s.dialWith(ctx, &websocket.Dialer{HandshakeTimeout: patience, ReadBufferSize: 2 << 10, WriteBufferSize: 512}, token, query)
}

func (s *server) dialWith(ctx context.Context, d *websocket.Dialer, token, query string) (*websocket.Conn, frame, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u := url.URL{Scheme: "ws", Host: s.host, Path: "/v1/events/ws", RawQuery: query}
	conn, res, err := d.DialContext(ctx, u.String(), http.Header{"Authorization": {"Bearer " + token}})
	if res != nil {
		defer res.Body.Close()
	}
	if err != nil {
		return nil, frame{}, err
	}
	_, text, err := conn.ReadMessage()
	if err == nil {
		var f frame
		if f, err = frameOf(text); err == nil && f.Type == "ready" {
			return conn, f, nil
		}
	}
	return nil, frame{}, errors.Join(err, errors.New("the socket is not ready"), conn.Close())
}
