package notifications

import (
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC E3: the socket drops at random places 200 times, each time to come back to
// one of two nodes, while four writers commit out of order. What the client has
// written down must be the order of the database: no gap, nothing twice.
func TestDropsUnderLoad(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.node()
	h.node(func(m *Module) { m.limits.queue, m.limits.page = 8, 5 }) // whose sockets often run over
	who := []identity.Caller{h.alice, h.bob, h.admin}
	journals := make([]*journal, len(who))
	for i, caller := range who {
		journals[i] = &journal{house: h, who: caller, cursor: h.beginning()}
	}
	load := h.load(4, h.alice, h.bob)

	var all sync.WaitGroup
	for _, j := range journals {
		all.Go(func() {
			for range 200 {
				j.readSome()
			}
		})
	}
	all.Wait()
	load.stop()

	for _, j := range journals {
		owner := j.who.UserID
		if j.who.IsAdmin() {
			owner = uuid.Nil
		}
		want := h.truth(owner)
		j.readUpTo(len(want))
		if !slices.Equal(j.ids, want) {
			t.Errorf("%s wrote down %d events, the log has %d: %s", j.who.Role, len(j.ids), len(want), differ(j.ids, want))
		}
		t.Logf("%s: %d events over %d connections, %d of them cut from outside", j.who.Role, len(j.ids), j.dials, j.cuts)
	}
}

// journal is a client that writes down what it hears, and resumes from there.
type journal struct {
	house  *bundle
	who    identity.Caller
	cursor string
	ids    []string
	dials  int
	cuts   int
}

func (j *journal) dial() *client {
	n := j.house.nodes[rand.IntN(len(j.house.nodes))]
	conn, resp, err := websocket.DefaultDialer.Dial(n.target("after="+j.cursor), bearer(j.who))
	if err != nil {
		j.house.t.Errorf("%v %s", err, bodyOf(resp))
		return nil
	}
	j.dials++
	return &client{j.house.t, conn}
}

// readSome reads a random number of frames and cuts the connection, or has it cut
// at a random moment, which may be in the middle of a frame.
func (j *journal) readSome() {
	c := j.dial()
	if c == nil {
		return
	}
	defer c.conn.Close()
	frames := rand.IntN(30)
	if rand.IntN(2) == 0 {
		frames = 1 << 30
		timer := time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, func() { _ = c.conn.NetConn().Close() })
		defer timer.Stop()
		j.cuts++
	}
	for range frames {
		m, err := c.read()
		if err != nil {
			return
		}
		j.note(m)
	}
}

func (j *journal) readUpTo(n int) {
	for len(j.ids) < n {
		c := j.dial()
		if c == nil {
			return
		}
		ok := j.follow(c, n)
		_ = c.conn.Close()
		if !ok {
			return
		}
	}
}

// follow reads until n events are written down, or until the node calls the reader
// slow, which a small queue may do. Anything else is a mistake.
func (j *journal) follow(c *client, n int) bool {
	for len(j.ids) < n {
		m, err := c.read()
		if websocket.IsCloseError(err, closeSlow) {
			return true
		}
		if err != nil {
			j.house.t.Errorf("after %d of %d events: %v", len(j.ids), n, err)
			return false
		}
		j.note(m)
	}
	return true
}

func (j *journal) note(m message) {
	switch m.Type {
	case "ready":
	case "reset":
		j.house.t.Error("reset")
	default:
		j.ids, j.cursor = append(j.ids, m.ID), m.Cursor
	}
}

// A reader that is far behind catches up page by page, while more arrives than its
// queue can hold, again and again: it has to go back to the log each time.
func TestCatchUpWhileTheQueueRunsOver(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.queue, m.limits.page = 64, 100 })
	for range 10 {
		h.commit(eventsOf(h.alice, 1000)...)
	}
	n.settle()
	load := h.load(4, h.alice)
	c := n.listen(h.alice, "after="+h.beginning())
	var s *subscriber
	until(t, "it is there", func() bool { s = n.only(); return s != nil })

	var ids []string
	overruns, cursor := 0, ""
	for len(ids) < 10_000 {
		m := c.next()
		ids, cursor = append(ids, m.ID), m.Cursor
		n.hub.mu.Lock()
		if s.overrun {
			overruns++
		}
		n.hub.mu.Unlock()
	}
	load.stop()

	want := h.truth(h.alice.UserID)
	j := &journal{house: h, who: h.alice, cursor: cursor, ids: ids}
	if j.follow(c, len(want)) { // the same connection, as long as it is not called slow
		j.readUpTo(len(want))
	}
	if !slices.Equal(j.ids, want) {
		t.Errorf("%d events, the log has %d: %s", len(j.ids), len(want), differ(j.ids, want))
	}
	if overruns == 0 || len(want) < 10_050 {
		t.Errorf("seen as run over %d times, %d events: this proves nothing", overruns, len(want))
	}
}

// One commit may contain more events than a queue holds, also after a long pause. A client that
// reads all of them is not a slow reader.
func TestBurstIsNotSlow(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.queue = 16 })
	c := n.listen(h.alice, "")
	j := &journal{house: h, who: h.alice}

	for range 5 {
		h.commit(eventsOf(h.alice, 400)...)
		want := h.truth(h.alice.UserID)
		for len(j.ids) < len(want) {
			m := c.next()
			if m.Type == "ready" {
				continue
			}
			j.note(m)
		}
		if !slices.Equal(j.ids, want) {
			t.Fatalf("%d events, the log has %d: %s", len(j.ids), len(want), differ(j.ids, want))
		}
	}
	if n.closed("4408") != 0 {
		t.Error("it was called slow")
	}
}

// only is the one socket of the node, or nil.
func (n *node) only() (s *subscriber) {
	n.hub.each(func(one *subscriber) { s = one })
	return s
}

// SPEC E6: who does not read is closed with 4408 once it gets that far, and misses
// nothing when it resumes; the memory held for it is bounded, and no other client waits for it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) {
		m.limits.queue, m.limits.patience = 50, 0
		// However late the test reads on, what was written is there, and the close behind it.
		m.limits.writeWithin, m.limits.closeWithin = patience, patience
	})
	conn, _, err := frugal.Dial(n.target("after="+h.beginning()), bearer(h.alice))
	h.must(err)
	defer conn.Close()
	slowly := &client{t, conn}
	if m := slowly.next(); m.Type != "ready" {
		t.Fatalf("%+v", m)
	}
	s := n.only()
	until(t, "it follows", func() bool { n.hub.mu.Lock(); defer n.hub.mu.Unlock(); return s.live })
	quick := n.listen(h.admin, "userId="+h.alice.UserID.String())

	written := 0
	for written < 1000 && !s.ended.Load() {
		h.commit(big(h.alice, 2)...)
		quick.next() // comes although the slow one's is stuck
		quick.next()
		written += 2
		if s.waitingFrames() > n.limits.queue {
			t.Fatalf("%d frames wait", s.waitingFrames())
		}
	}
	t.Logf("the slow one was given up after %d frames of 100 KiB", written)

	j := &journal{house: h, who: h.alice, cursor: h.beginning()}
	code := 0
	for code == 0 {
		m, err := slowly.read()
		var end *websocket.CloseError
		switch {
		case errors.As(err, &end):
			code = end.Code
		case err != nil:
			t.Fatal(err)
		default:
			j.note(m)
		}
	}
	if code != closeSlow || n.closed("4408") != 1 {
		t.Errorf("code %d, counted %v", code, n.closed("4408"))
	}
	want := h.truth(h.alice.UserID)
	if len(j.ids) >= len(want) {
		t.Error("it had everything: this proves nothing")
	}
	j.readUpTo(len(want))
	if !slices.Equal(j.ids, want) {
		t.Errorf("%d events, the log has %d: %s", len(j.ids), len(want), differ(j.ids, want))
	}
}

func (f *subscriber) waitingFrames() int {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return len(f.queue.list)
}

// A client that reads slowly while it catches up is pinged as well, so its connection
// lives longer than that of a silent peer.
func TestSlowCatchUpIsNotDead(t *testing.T) {
	t.Parallel()
	testwait.RetrySlower(t, 15*time.Millisecond, catchesUpSlowly)
}

func catchesUpSlowly(t *testing.T, pace time.Duration) error {
	t.Helper()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.pingEvery, m.limits.deadAfter = pace, 40*pace })
	h.commit(sized(h.alice, 60, 100<<10)...) // a few of these fill the kernel's buffers
	n.settle()
	conn, _, err := frugal.Dial(n.target("after="+h.beginning()), bearer(h.alice))
	h.must(err)
	defer conn.Close()
	c := &client{t, conn}
	c.next()

	for _, want := range h.truth(h.alice.UserID) { // 60, in half as much again as a silent peer lives
		<-time.After(pace)
		m, err := c.read()
		if err != nil {
			return err
		}
		if m.ID != want {
			t.Fatalf("%s, want %s", m.ID, want)
		}
	}
	return nil
}

// frugal dials with a small buffer in the kernel.
var frugal = &websocket.Dialer{NetDial: func(network, addr string) (net.Conn, error) {
	conn, err := net.Dial(network, addr)
	if err == nil {
		_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	return conn, err
}}

// A slow reader that never reads again is cut.
func TestStuckReaderIsCut(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.writeWithin = 200 * time.Millisecond })
	n.raw(h.alice, "")
	until(t, "it is there", func() bool { return n.isOpen(1) })

	h.commit(big(h.alice, 100)...)

	until(t, "it is gone", func() bool { return n.isOpen(0) })
	if n.closed("4408") != 1 {
		t.Errorf("counted %v", n.closed("4408"))
	}
}

// Peers come and go in every way at once; afterwards there is nothing left of them.
func TestNoGoroutineIsLeft(t *testing.T) { // not parallel: it looks at all goroutines
	h := setup(t)
	n := h.node()

	var all sync.WaitGroup
	for i := range 120 {
		all.Go(func() {
			c := n.dial(h.alice, "")
			switch i % 4 {
			case 0:
				_ = c.conn.Close()
			case 1:
				_, _ = c.read()
				_ = c.conn.WriteMessage(websocket.TextMessage, make([]byte, 8<<10))
				c.closedWith()
			case 2:
				_, _ = c.read()
				_ = c.conn.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience))
				c.closedWith()
			default:
				_, _ = c.read()
				_, _ = c.read() // until it is revoked
			}
			_ = c.conn.Close()
		})
	}
	until(t, "only the last kind is left", func() bool { return n.isOpen(30) })
	if !strings.Contains(stacks(), "notifications.(*socket)") {
		t.Error("their goroutines are not to be seen: this proves nothing")
	}
	n.Revoked(h.alice.UserID, uuid.Nil)
	all.Wait()

	until(t, "all are gone", func() bool { return n.isOpen(0) })
	until(t, "no goroutine of theirs is left", func() bool { return !strings.Contains(stacks(), "notifications.(*socket)") })
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// BenchmarkIdleSocket says what a socket costs that only waits.
func BenchmarkIdleSocket(b *testing.B) {
	h := setup(b)
	n := h.node()
	const sockets = 2000
	for b.Loop() {
		before := inUse()
		conns := make([]net.Conn, sockets)
		for i := range conns {
			conns[i] = n.raw(h.alice, "")
		}
		until(b, "all are open", func() bool { return n.isOpen(sockets) })
		h.commit(eventOf(h.alice, "order.created")) // each has written one
		n.settle()
		b.ReportMetric(float64(inUse()-before)/sockets, "B/socket")
		for _, c := range conns {
			_ = c.Close()
		}
		until(b, "all are gone", func() bool { return n.isOpen(0) })
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// BenchmarkDeliver is the cost of one event for a thousand sockets that hear it.
func BenchmarkDeliver(b *testing.B) {
	h := newHub(nil, nil)
	subscribers := map[*subscriber]struct{}{}
	for range 1000 {
		f := &subscriber{hub: h, queue: newQueue(1 << 30)}
		f.queue.wake = func() {}
		subscribers[f] = struct{}{}
	}
	owner := identity.Caller{UserID: uuid.New()}
	h.byOwner[owner.UserID] = subscribers
	list := []events.Event{eventOf(owner, "order.created")}
	for b.Loop() {
		h.deliver(list, events.Cursor{Epoch: "deadbeef", Xid: 1})
		for s := range subscribers {
			s.queue.take()
		}
	}
}
