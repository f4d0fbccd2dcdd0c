package notifications

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// SPEC E2: the token determines which events a socket receives.
func TestWhoHearsWhat(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	rows := []struct {
		name  string
		who   identity.Caller
		query string
		owner []identity.Caller
		types string
	}{
		{"own", h.alice, "", []identity.Caller{h.alice}, "created confirmed shipped"},
		{"own by name", h.alice, "userId=" + h.alice.UserID.String(), []identity.Caller{h.alice}, "created confirmed shipped"},
		{"of some types", h.alice, "types=order.created,order.shipped", []identity.Caller{h.alice}, "created shipped"},
		{"types twice", h.bob, "types=order.created&types=order.shipped,", []identity.Caller{h.bob}, "created shipped"},
		{"a type that never comes", h.bob, "types=notifications.unread,order.confirmed", []identity.Caller{h.bob}, "confirmed"},
		{"all users'", h.admin, "", []identity.Caller{h.alice, h.bob, h.admin}, "created confirmed shipped"},
		{"one user's", h.admin, "userId=" + h.bob.UserID.String(), []identity.Caller{h.bob}, "created confirmed shipped"},
		{"an administrator's own", h.admin, "userId=" + h.admin.UserID.String(), []identity.Caller{h.admin}, "created confirmed shipped"},
		{"all users' of one type", h.admin, "types=order.shipped", []identity.Caller{h.alice, h.bob, h.admin}, "shipped"},
	}
	start := n.listen(h.admin, "")
	clients := make([]*client, len(rows))
	for i, row := range rows {
		clients[i] = n.listen(row.who, row.query)
	}
	var list []events.Event
	for _, kind := range []string{"order.created", "order.confirmed", "order.shipped"} {
		for _, owner := range []identity.Caller{h.alice, h.bob, h.admin} {
			list = append(list, eventOf(owner, kind))
		}
	}
	h.commit(list...)
	_ = start

	for i, row := range rows {
		var want []string
		for _, e := range list {
			for _, owner := range row.owner {
				if e.UserID == owner.UserID && strings.Contains(row.types, strings.TrimPrefix(e.Type, "order.")) {
					want = append(want, e.Message().ID)
				}
			}
		}
		t.Run(row.name, func(t *testing.T) {
			clients[i].t = t
			clients[i].expect(want)
			// And nothing else: what comes next is the next event that is meant for it.
			more := eventOf(row.owner[0], "order."+strings.Fields(row.types)[0])
			h.commit(eventOf(h.login(identity.User), "order.created"), more)
			for next := clients[i].next(); next.ID != more.Message().ID; next = clients[i].next() {
				if len(row.owner) == 1 && next.UserID != row.owner[0].UserID {
					t.Errorf("got %+v", next)
				}
			}
		})
	}
}

// SPEC E3: on any node, what was missed in order and once, and then what happens.
func TestResume(t *testing.T) {
	t.Parallel()
	h := setup(t)
	a, b := h.node(), h.node()
	first := a.listen(h.alice, "")
	h.commit(eventsOf(h.alice, 3)...)
	cursor := first.expect(h.truth(h.alice.UserID))
	_ = first.conn.Close()
	for range 20 {
		h.commit(eventOf(h.alice, "order.created"), eventOf(h.bob, "order.created"))
	}

	second := b.listen(h.alice, "after="+cursor)

	second.expect(h.truth(h.alice.UserID)[3:])
	h.commit(eventsOf(h.alice, 2)...)
	second.expect(h.truth(h.alice.UserID)[23:])
}

// "ready" says the place itself, so that it can be resumed from too.
func TestReadyIsAPlace(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	h.commit(eventsOf(h.alice, 2)...)
	n.settle()
	c := n.dial(h.alice, "")
	ready := c.next()
	_ = c.conn.Close()
	h.commit(eventsOf(h.alice, 2)...)

	again := n.dial(h.alice, "after="+ready.Cursor)

	if m := again.next(); m.Type != "ready" || m.Cursor != ready.Cursor {
		t.Errorf("%+v", m)
	}
	again.expect(h.truth(h.alice.UserID)[2:])
}

// SPEC E3: too old is said, and the stream goes on from now.
func TestReset(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	old := eventOf(h.alice, "order.created")
	old.At = events.Now().Add(-2 * time.Hour)
	h.commit(old)
	n.settle()
	here, err := n.events.Head(h.ctx)
	h.must(err)
	for name, cursor := range map[string]string{
		"too old":          events.Cursor{Epoch: here.Epoch}.String(),
		"another database": "00000000-1-1",
		"the future":       events.Cursor{Epoch: here.Epoch, Xid: 1 << 60, Seq: 1}.String(),
	} {
		c := n.dial(h.alice, "after="+cursor)
		if m := c.next(); m.Type != "reset" || m.Cursor == "" || m.Cursor == cursor {
			t.Errorf("%s: %+v", name, m)
		}
		e := eventOf(h.alice, "order.created")
		h.commit(e)
		c.expect([]string{e.Message().ID})
	}
}

// A transaction that stays open holds up what was committed after it, on a socket
// too; then everything comes, in the order of the log.
func TestOpenTransactionHoldsUpTheStream(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	c := n.listen(h.alice, "")
	tx, err := h.pool.Begin(h.ctx)
	h.must(err)
	defer func() { _ = tx.Rollback(h.ctx) }()
	late := eventOf(h.alice, "order.created")
	h.must(events.Append(h.ctx, tx, []events.Event{late}))
	for range 5 {
		h.commit(eventsOf(h.alice, 2)...)
	}

	got := make(chan message)
	go func() {
		for range 11 {
			m, err := c.read()
			if err != nil {
				t.Error(err)
			}
			got <- m
		}
		close(got)
	}()
	looks := n.pool.Stat().AcquireCount()
	until(t, "the tail has looked again and again", func() bool { return n.pool.Stat().AcquireCount() >= looks+10 })
	select {
	case m := <-got:
		t.Errorf("%+v came past an open transaction", m)
	default:
	}
	h.must(tx.Commit(h.ctx))

	var ids []string
	for m := range got {
		ids = append(ids, m.ID)
	}
	if want := h.truth(h.alice.UserID); len(ids) != 11 || ids[0] != late.Message().ID || differ(ids, want) != "0 more at the end" {
		t.Errorf("%v, want %v", ids, want)
	}
}

// SPEC A5: the sockets of a session, or of all sessions, and no others.
func TestRevoked(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	other := h.sessions.login(identity.Caller{UserID: h.alice.UserID, SessionID: uuid.New(), Role: identity.User})
	one, two, bob := n.listen(h.alice, ""), n.listen(other, ""), n.listen(h.bob, "")
	guest := n.listen(h.admin, "userId="+h.bob.UserID.String())

	n.Revoked(h.alice.UserID, h.alice.SessionID)
	if code := one.closedWith(); code != 4401 {
		t.Errorf("the session: %d", code)
	}
	h.commit(eventOf(h.alice, "order.created"), eventOf(h.bob, "order.created"))
	two.expect(h.truth(h.alice.UserID))
	n.Revoked(h.alice.UserID, uuid.Nil)
	if code := two.closedWith(); code != 4401 {
		t.Errorf("all sessions: %d", code)
	}
	n.Revoked(h.admin.UserID, uuid.Nil)
	if code := guest.closedWith(); code != 4401 {
		t.Errorf("an administrator subscribed to another user: %d", code)
	}
	h.commit(eventOf(h.bob, "order.created"))
	bob.expect(h.truth(h.bob.UserID))
	until(t, "only bob is left", func() bool { return n.isOpen(1) })
}

// What happens to a session between the handshake and the moment from which the
// hub can tell the socket.
func TestSessionThatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(h *bundle) error
		code   int
	}{
		"ended":     {func(h *bundle) error { h.sessions.logout(h.alice); return nil }, 4401},
		"demoted":   {func(h *bundle) error { c := h.alice; c.Role = identity.Admin; h.sessions.login(c); return nil }, 4401},
		"not known": {func(*bundle) error { return errors.New("the database is away") }, 1011},
		"a panic":   {func(*bundle) error { panic("the secret reason") }, 1011},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			n := h.node()
			h.sessions.before = func(context.Context) error { return row.change(h) }
			c := n.dial(h.alice, "")

			_, err := c.read()

			var end *websocket.CloseError
			if !errors.As(err, &end) || end.Code != row.code {
				t.Fatalf("%v, want %d", err, row.code)
			}
			if strings.Contains(end.Text, "secret") || strings.Contains(end.Text, "database") {
				t.Errorf("told %q", end.Text)
			}
			until(t, "the socket is gone", func() bool { return n.isOpen(0) })
			if logged := strings.Contains(n.said.String(), "level="); logged != (row.code == 1011) {
				t.Errorf("log: %s", n.said)
			}
		})
	}
}

// SPEC E6: stopping closes all sockets with 1001, waits for them, and accepts no new ones.
func TestStop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	clients := make([]*client, 50)
	for i := range clients {
		clients[i] = n.listen(h.alice, "")
	}
	var codes sync.Map
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() { codes.Store(i, c.closedWith()) })
	}

	n.stop()

	all.Wait()
	for i := range clients {
		if code, _ := codes.Load(i); code != 1001 {
			t.Errorf("socket %d: %v", i, code)
		}
	}
	if _, resp, err := websocket.DefaultDialer.Dial(n.target(""), bearer(h.alice)); err == nil || resp.StatusCode != 503 {
		t.Errorf("a new one: %v %s", err, bodyOf(resp))
	}
}

// A socket that had its handshake when the server began to stop is closed as well.
func TestStopBetweenHandshakeAndJoin(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	n.hub.mu.Lock() // the handshake passes the check, and then waits here to join
	opened := make(chan *client)
	n.hub.mu.Unlock()
	release := make(chan struct{})
	h.sessions.before = func(ctx context.Context) error {
		close(release)
		<-ctx.Done() // what reads the session ends with the socket
		return ctx.Err()
	}
	go func() { opened <- n.dial(h.alice, "") }()
	c := <-opened
	<-release

	n.stop()

	if code := c.closedWith(); code != 1001 {
		t.Errorf("code %d", code)
	}
}

// SPEC E6: a message of more than 4 KiB ends the socket, however much of it is
// still on its way; one of 4 KiB is of no interest.
func TestReadLimit(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	c := n.listen(h.alice, "")
	h.must(c.conn.WriteMessage(websocket.TextMessage, make([]byte, 4<<10)))
	h.commit(eventOf(h.alice, "order.created"))
	c.expect(h.truth(h.alice.UserID))

	for _, size := range []int{5 << 10, 300 << 10} {
		c := n.listen(h.alice, "")
		_ = c.conn.WriteMessage(websocket.BinaryMessage, make([]byte, size))
		if code := c.closedWith(); code != websocket.CloseMessageTooBig {
			t.Errorf("%d bytes: code %d", size, code)
		}
	}
	until(t, "they are gone", func() bool { return n.isOpen(1) })
}

func TestPings(t *testing.T) {
	t.Parallel()
	testwait.RetrySlower(t, 30*time.Millisecond, isPinged)
}

func isPinged(t *testing.T, pace time.Duration) error {
	t.Helper()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.pingEvery, m.limits.deadAfter = pace, 10*pace })
	c := n.listen(h.alice, "")
	pings, pongs := make(chan struct{}, 1000), make(chan string, 1)
	answer := c.conn.PingHandler()
	c.conn.SetPingHandler(func(data string) error { pings <- struct{}{}; return answer(data) })
	c.conn.SetPongHandler(func(data string) error { pongs <- data; return nil })
	h.must(c.conn.WriteControl(websocket.PingMessage, []byte("hello"), time.Now().Add(patience)))
	read := make(chan error, 1)
	go func() {
		_, err := c.read()
		read <- err
	}()

	for range 30 { // three times as long as a silent peer lives
		select {
		case <-pings:
		case err := <-read:
			return err
		}
	}
	if got := testwait.For(t, "the pong", pongs); got != "hello" {
		t.Errorf("pong %q", got)
	}
	h.commit(eventOf(h.alice, "order.created"))
	return testwait.For(t, "the event", read)
}

// raw is a peer under the control of the test: it neither answers pings nor reads.
func (n *node) raw(who identity.Caller, query string) net.Conn {
	n.bundle.t.Helper()
	conn, err := net.Dial("tcp", n.addr)
	n.bundle.must(err)
	n.bundle.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	_, err = fmt.Fprintf(conn, "GET %s?%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		socketPath, query, n.addr, who.SessionID)
	n.bundle.must(err)
	var head []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); {
		_, err := conn.Read(one)
		n.bundle.must(err)
		head = append(head, one[0])
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 101 ") {
		n.bundle.t.Fatalf("%s", head)
	}
	return conn
}

// SPEC E6: a peer that answers no ping is gone, whether or not something is being
// written to it.
func TestDeadPeers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) {
		m.limits.pingEvery, m.limits.deadAfter, m.limits.writeWithin = 50*time.Millisecond, 300*time.Millisecond, 10*patience
	})
	n.raw(h.alice, "")
	until(t, "it is there", func() bool { return n.isOpen(1) })
	until(t, "the idle one is gone", func() bool { return n.isOpen(0) })

	h.commit(big(h.bob, 100)...)
	n.raw(h.bob, "after="+h.beginning())
	until(t, "it is there", func() bool { return n.isOpen(1) })
	until(t, "the stuck one is gone", func() bool { return n.isOpen(0) })
}

// big events fill what the kernel holds for a peer that does not read.
func big(owner identity.Caller, n int) []events.Event { return sized(owner, n, 100<<10) }

func sized(owner identity.Caller, n, bytes int) []events.Event {
	list := eventsOf(owner, n)
	text := []byte(`"` + strings.Repeat("x", bytes) + `"`)
	for i := range list {
		list[i].Data = text
	}
	return list
}

// beginning is a cursor before everything.
func (h *bundle) beginning() string {
	h.t.Helper()
	var c events.Cursor
	h.must(h.pool.QueryRow(h.ctx, `select epoch from event_log`).Scan(&c.Epoch))
	return c.String()
}

// A peer that is stuck in the middle of a write does not hold up the stop.
func TestStopCutsStuckWrites(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.closeWithin, m.limits.writeWithin = 100*time.Millisecond, 10*patience })
	h.commit(big(h.alice, 100)...)
	n.raw(h.alice, "after="+h.beginning())
	until(t, "it is there", func() bool { return n.isOpen(1) })

	n.stop()
}

// Nothing that a panic leaves behind reaches the next connection: they come from a pool.
func TestPanicsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	var turn sync.Mutex
	fail := true
	h.sessions.before = func(context.Context) error {
		turn.Lock()
		defer turn.Unlock()
		fail = !fail
		if fail {
			panic("the secret reason")
		}
		return nil
	}
	for range 100 {
		good := n.listen(h.alice, "")
		bad := n.dial(h.bob, "")
		if code := bad.closedWith(); code != 1011 {
			t.Fatalf("code %d", code)
		}
		e := eventOf(h.alice, "order.created")
		h.commit(e)
		good.expect([]string{e.Message().ID})
		_ = good.conn.Close()
	}
	until(t, "all are gone", func() bool { return n.isOpen(0) })
}

// A client that says goodbye is answered.
func TestClientCloses(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	c := n.listen(h.alice, "")
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")
	h.must(c.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience)))

	if code := c.closedWith(); code != websocket.CloseNormalClosure {
		t.Errorf("code %d", code)
	}
	until(t, "it is gone", func() bool { return n.isOpen(0) })
}

// Data that JSON parsers reject must neither be a gap nor block later events.
func TestUnrenderableEvent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	c := n.listen(h.alice, "")
	bad := eventOf(h.alice, "order.created")
	bad.Data = []byte(`{"a":1,"a":2}`)

	h.commit(bad, eventOf(h.alice, "order.created"))

	c.expect(h.truth(h.alice.UserID))
	n.listen(h.alice, "after="+h.beginning()).expect(h.truth(h.alice.UserID))
	if !strings.Contains(n.said.String(), "cannot be rendered") {
		t.Error("the error was not reported")
	}
}

// SPEC E3: the position of a follower moves with the events that its filter leaves out, on sockets and
// streams; otherwise its cursor would expire although it was connected all along.
func TestFilteredFollowersMove_E3(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.pingEvery = 20 * time.Millisecond })
	c := n.dial(h.alice, "types=order.shipped")
	first := c.next()
	l := n.stream(h.alice, "types=order.shipped").begins()
	h.commit(eventsOf(h.alice, 2)...)

	moved := c.next()
	here, err := n.events.Head(h.ctx)
	h.must(err)
	if moved.Type != "ready" || moved.Cursor == first.Cursor || moved.Cursor != here.String() {
		t.Errorf("%+v, want the position %s", moved, here)
	}
	streamed := l.next()
	for streamed.comment {
		streamed = l.next()
	}
	if streamed.event != "ready" || streamed.id != here.String() {
		t.Errorf("%+v, want the position %s", streamed, here)
	}

	shipped := eventOf(h.alice, "order.shipped")
	h.commit(shipped)
	c.expect([]string{shipped.Message().ID})
	again := n.dial(h.alice, "after="+moved.Cursor+"&types=order.shipped")
	if m := again.next(); m.Type != "ready" || m.Cursor != moved.Cursor {
		t.Errorf("%+v", m)
	}
	again.expect([]string{shipped.Message().ID})
}
