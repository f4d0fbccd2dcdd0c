package notifications

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// streams lets one account have so many streams.
func streams(perAccount int) func(*Module) {
	return func(m *Module) { m.connections = newConnections(perAccount) }
}

// refused demands what one stream too many is answered, before anything is upgraded.
func (n *node) refused(what, path string, header http.Header) {
	n.bundle.t.Helper()
	status, got, body := n.call(http.MethodGet, path, header)
	wait, err := strconv.Atoi(got.Get("Retry-After"))
	if status != http.StatusTooManyRequests || !strings.Contains(body, `"too-many-streams"`) || err != nil || wait < 1 {
		n.bundle.t.Errorf("%s: %d, Retry-After %q, %s", what, status, got.Get("Retry-After"), body)
	}
}

func handshake(who identity.Caller) http.Header {
	h := bearer(who)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		h.Set(name, value)
	}
	return h
}

// held is how many streams and waiting requests have a slot.
func (n *node) held() int {
	held, _ := n.connections.slots.Usage()
	return held
}

// SPEC F10: an account has so many sockets and streams on a node, an administrator too,
// and the others have theirs.
func TestStreamsOfAnAccountAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(streams(3))
	n.settleEmpty()
	for _, who := range []identity.Caller{h.alice, h.admin} {
		again := h.sessions.login(identity.Caller{UserID: who.UserID, SessionID: uuid.New(), Role: who.Role})
		first := n.listen(who, "")
		n.listen(again, "")
		n.stream(who, "").begins()

		n.refused("a socket", socketPath, handshake(again))
		n.refused("a stream", streamPath, bearer(who))
		ticket, _, err := h.sessions.IssueTicket(h.ctx, who)
		h.must(err)
		n.refused("a stream by ticket", streamPath+"?ticket="+ticket, http.Header{})
		n.listen(h.bob, "").conn.Close()

		_ = first.conn.Close()
		until(t, "the slot to be free", func() bool {
			conn, resp, err := websocket.DefaultDialer.Dial(n.target(""), bearer(who))
			if err != nil {
				_ = resp.Body.Close()
				return false
			}
			t.Cleanup(func() { _ = conn.Close() })
			return true
		})
	}
}

// SPEC F10: so many requests of an account wait for events; those that do not wait are
// answered all the same.
func TestWaitingRequestsOfAnAccountAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	h.commit(eventOf(h.alice, "order.created"))
	n.settle()
	_, cursor := n.walk(h.alice, "")
	var all sync.WaitGroup
	for range waitsPerAccount {
		all.Go(func() {
			if ids := n.page(h.alice, "wait=20&after="+cursor).ids(); len(ids) != 1 {
				t.Errorf("woken with %v", ids)
			}
		})
	}
	until(t, "all to wait", func() bool { return n.held() == waitsPerAccount })

	n.refused("one more", "/v1/events?wait=20&after="+cursor, bearer(h.alice))
	n.page(h.alice, "after="+cursor)
	n.listen(h.alice, "").conn.Close()

	h.commit(eventOf(h.alice, "order.shipped"))
	all.Wait()
	until(t, "the slots to be free", func() bool { return n.held() == 0 })
}

// SPEC F10: a slot is given back however a connection ends.
func TestSlotsAreGivenBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(streams(2), func(m *Module) {
		m.limits.handshake = 100 * time.Millisecond
		m.limits.pingEvery = 50 * time.Millisecond // a write is what notices a reader of a stream that is gone
	})
	n.settleEmpty()

	for range 5 { // handshakes that are refused
		for _, wrong := range []string{"Sec-Websocket-Key", "Sec-Websocket-Version"} {
			header := handshake(h.alice)
			header.Del(wrong)
			if status, _, body := n.call(http.MethodGet, socketPath, header); status != http.StatusUpgradeRequired {
				t.Fatal(status, body)
			}
		}
		if status, _, body := n.call(http.MethodHead, streamPath, bearer(h.alice)); status != http.StatusOK {
			t.Fatal(status, body)
		}
		n.stream(h.alice, "").begins().close()
		until(t, "a refused handshake, HEAD and stream to be over", func() bool { return n.held() == 0 })
	}

	for range 2 { // clients that are gone when the 101 is written
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- n.app.Server().ServeConn(far) }()
		request := "GET " + socketPath + " HTTP/1.1\r\nHost: test\r\n"
		for name := range handshake(h.alice) {
			request += name + ": " + handshake(h.alice).Get(name) + "\r\n"
		}
		_, err := io.WriteString(near, request+"\r\n")
		h.must(err)
		_ = near.Close()
		if err := <-served; err == nil {
			t.Error("the 101 was written")
		}
	}
	until(t, "the slots of those that are gone to be free", func() bool { return n.held() == 0 })
	n.listen(h.alice, "")
	n.listen(h.alice, "")
	if n.held() != 2 {
		t.Errorf("%d slots held by two sockets", n.held())
	}
}

// A node has a limit of streams in total; beyond it the response is 503.
func TestStreamsOfANodeAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	n.settleEmpty()
	for range streamsPerNode / streamsPerAccount {
		account := uuid.New()
		for range streamsPerAccount {
			if _, err := n.connections.stream(account); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.ignoreHeld = true

	status, header, body := n.call(http.MethodGet, socketPath, handshake(h.alice))
	if status != http.StatusServiceUnavailable || !strings.Contains(body, `"busy"`) || header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q, %s", status, header.Get("Retry-After"), body)
	}
}

// settleEmpty waits until the tail has said where it is.
func (n *node) settleEmpty() { <-n.hub.ready }

// watched counts the pages of the log that are read for each user, and may hold those of
// one up.
type watched struct {
	mu      sync.Mutex
	running map[uuid.UUID]int
	most    map[uuid.UUID]int
	total   int
	mostAll int
	holdUp  uuid.UUID
	gate    chan struct{}
}

type reader struct{}

func (w *watched) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if len(q.Args) < 4 || q.Args[2] == 1 || !strings.Contains(q.SQL, "left join lateral (select * from events") {
		return ctx
	}
	user, _ := q.Args[3].(uuid.UUID)
	w.mu.Lock()
	w.running[user]++
	w.most[user] = max(w.most[user], w.running[user])
	w.total++
	w.mostAll = max(w.mostAll, w.total)
	w.mu.Unlock()
	if user == w.holdUp {
		<-w.gate
	}
	return context.WithValue(ctx, reader{}, user)
}

func (w *watched) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if user, ok := ctx.Value(reader{}).(uuid.UUID); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running[user]--
		w.total--
	}
}

// peak is how many pages were read at once, for one user and for all.
func (w *watched) peak(user uuid.UUID) (one, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most[user], w.mostAll
}

func (w *watched) now(user uuid.UUID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running[user]
}

// SPEC F10: however many sockets, streams and page readers of one account read what they
// missed, they hold their part of the connections, and another account reads meanwhile.
func TestOneAccountDoesNotReadForAll(t *testing.T) {
	t.Parallel()
	const conns, slots, perAccount, readers = 16, 4, 2, 8
	h := setup(t)
	w := &watched{running: map[uuid.UUID]int{}, most: map[uuid.UUID]int{}, holdUp: h.alice.UserID, gate: make(chan struct{})}
	open := sync.OnceFunc(func() { close(w.gate) })
	n := h.node(func(m *Module) {
		cfg, err := pgxpool.ParseConfig(h.url)
		h.must(err)
		cfg.MaxConns, cfg.ConnConfig.Tracer = conns, w
		pool, err := pgxpool.NewWithConfig(h.ctx, cfg)
		h.must(err)
		t.Cleanup(pool.Close)
		m.events, err = events.OpenLog(h.ctx, &postgres.Pool{Pool: pool})
		h.must(err)
		m.reads = reads.New(conns)
		m.limits.page = 50
	})
	t.Cleanup(open)
	n.settleEmpty()
	h.commit(eventOf(h.bob, "order.created"))
	n.settle()
	_, oldest := n.walk(h.bob, "")
	h.commit(slices.Concat(eventsOf(h.alice, 400), eventsOf(h.bob, 1))...)
	n.settle()

	mine := h.truth(h.alice.UserID)
	var all sync.WaitGroup
	for range readers {
		all.Go(func() { n.listen(h.alice, "after="+oldest).expect(mine) })
		all.Go(func() { n.stream(h.alice, "after="+oldest).begins().expect(mine) })
		all.Go(func() {
			if got := n.page(h.alice, "limit=500&after="+oldest).ids(); len(got) != len(mine) {
				t.Errorf("a page of %d, want %d", len(got), len(mine))
			}
		})
	}
	until(t, "alice to read", func() bool { return w.now(h.alice.UserID) >= perAccount })

	n.listen(h.bob, "after="+oldest).expect(h.truth(h.bob.UserID)[1:])
	if got := n.page(h.bob, "after="+oldest).ids(); len(got) != 1 {
		t.Errorf("bob's page: %v", got)
	}
	if now := w.now(h.alice.UserID); now != perAccount {
		t.Errorf("alice reads %d pages at once meanwhile", now)
	}

	open()
	all.Wait()
	if one, all := w.peak(h.alice.UserID); one > perAccount || all > slots {
		t.Errorf("%d pages at once for one account, %d in all", one, all)
	}
}
