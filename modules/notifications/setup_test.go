package notifications

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

// patience only ends a test that hangs.
const patience = testwait.Limit

// house is a database with people who have sessions, and nodes on it.
type bundle struct {
	t        testing.TB
	ctx      context.Context
	url      string
	pool     *postgres.Pool
	sessions *sessions
	nodes    []*node
	alice    identity.Caller
	bob      identity.Caller
	admin    identity.Caller
}

func setup(t testing.TB) *bundle {
	t.Helper()
	h := &bundle{t: t, ctx: context.Background(), url: pgtest.URL(t), sessions: newSessions()}
	h.pool = h.open(12)
	h.alice, h.bob, h.admin = h.login(identity.User), h.login(identity.User), h.login(identity.Admin)
	return h
}

func (h *bundle) open(size int) *postgres.Pool {
	h.t.Helper()
	pool, err := postgres.Open(h.ctx, h.url, size)
	h.must(err)
	h.t.Cleanup(pool.Close)
	return pool
}

func (h *bundle) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *bundle) login(role identity.Role) identity.Caller {
	return h.sessions.login(identity.Caller{UserID: uuid.New(), SessionID: uuid.New(), Role: role})
}

// sessions stands for module auth. The bearer token of a session is its id.
type sessions struct {
	mu      sync.Mutex
	callers map[uuid.UUID]identity.Caller
	tickets map[string]identity.Caller
	before  func(context.Context) error // of CurrentCaller
	after   func()                      // the credentials of a request were checked
}

func newSessions() *sessions {
	return &sessions{
		callers: map[uuid.UUID]identity.Caller{}, tickets: map[string]identity.Caller{},
		before: func(context.Context) error { return nil }, after: func() {},
	}
}

func (s *sessions) login(c identity.Caller) identity.Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers[c.SessionID] = c
	return c
}

func (s *sessions) logout(c identity.Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.callers, c.SessionID)
}

func (s *sessions) find(id uuid.UUID) (identity.Caller, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.callers[id]
	if !ok {
		return c, fault.New(fault.KindUnauthenticated, "invalid-token", "The token is not valid.")
	}
	return c, nil
}

func (s *sessions) CurrentCaller(ctx context.Context, id uuid.UUID) (identity.Caller, error) {
	if err := s.before(ctx); err != nil {
		return identity.Caller{}, err
	}
	return s.find(id)
}

func (s *sessions) IssueTicket(_ context.Context, c identity.Caller) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ticket := "t-" + uuid.NewString()
	s.tickets[ticket] = c
	return ticket, time.Now().Add(30 * time.Second), nil
}

// ResumptionToken is readable here: who may resume with which ticket.
func (s *sessions) ResumptionToken(ticket string, c identity.Caller) string {
	return c.Credential().String() + "." + ticket[len(ticket)-8:]
}

func (s *sessions) ResumeTicket(ctx context.Context, ticket, token string) (identity.Caller, error) {
	credential, end, _ := strings.Cut(token, ".")
	id, err := uuid.Parse(credential)
	if err != nil || !strings.HasSuffix(ticket, end) || end == "" {
		return identity.Caller{}, fault.New(fault.KindUnauthenticated, "invalid-ticket", "The ticket is not valid.")
	}
	c, err := s.CurrentCaller(ctx, id)
	if fault.Is(err, "invalid-token") {
		err = fault.New(fault.KindUnauthenticated, "invalid-ticket", "The ticket is not valid.")
	}
	return c, err
}

func (s *sessions) RedeemTicket(_ context.Context, ticket string) (identity.Caller, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.tickets[ticket]
	delete(s.tickets, ticket)
	if !ok {
		return c, fault.New(fault.KindUnauthenticated, "invalid-ticket", "The ticket is not valid.")
	}
	return c, nil
}

// then has something done once the credentials of a request are checked.
func (s *sessions) then(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = do
}

func (s *sessions) checked() {
	s.mu.Lock()
	do := s.after
	s.mu.Unlock()
	do()
}

func (s *sessions) credentials(c *fiber.Ctx) error {
	if token, ok := strings.CutPrefix(c.Get("Authorization"), "Bearer "); ok {
		caller, err := s.find(uuid.MustParse(token))
		if err != nil {
			web.RejectCredential(c, err)
		} else {
			c.SetUserContext(identity.NewContext(c.UserContext(), caller))
			s.checked()
		}
	}
	return c.Next()
}

// node is one process: a tail, the module and an app with a listener.
type node struct {
	*Module
	bundle *bundle
	pool   *postgres.Pool
	app    *fiber.App
	addr   string
	said   *syncbuf.Buffer

	ignoreHeld bool // the test holds slots itself
}

// node starts one more. change may alter the module before it serves.
func (h *bundle) node(change ...func(*Module)) *node {
	h.t.Helper()
	n := &node{bundle: h, pool: h.open(8), said: &syncbuf.Buffer{}}
	log, err := events.OpenLog(h.ctx, n.pool)
	h.must(err)
	out := slog.New(slog.NewTextHandler(n.said, nil))
	n.Module = New(Deps{
		Pool: n.pool, Events: log, Tail: events.NewTail(log, out), Sessions: h.sessions, Origins: []string{"https://shop.example"},
		Kinds: []events.Kind{
			{Type: "order.created", Doc: "Made."}, {Type: "order.confirmed", Doc: "Sure.", Notify: true}, {Type: "order.shipped", Doc: "Gone.", Notify: true},
		},
		Keep: time.Hour, KeepNotes: time.Hour, StreamsPerAccount: 1000, Reads: reads.New(8), Log: out, Metrics: prometheus.NewRegistry(),
		Counted: func() {
			for _, n := range h.nodes {
				n.Look()
			}
		},
	})
	n.limits.readWithin = patience
	for _, do := range change {
		do(n.Module)
	}
	n.app = fiber.New(web.Config(web.Options{Log: out}))
	n.app.Use(web.Recover(out), web.RequestID(), web.Deadline(patience), h.sessions.credentials, n.Credentials())
	n.Routes(web.New(n.app, web.Options{Log: out}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	n.addr = listener.Addr().String()

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{n.tail.Run, n.Run, n.FillInboxes} {
		running.Go(func() { _ = run(ctx) })
	}
	running.Go(func() { _ = n.app.Listener(narrow{listener}) })
	h.t.Cleanup(func() {
		n.stop()
		cancel()
		if err := n.app.ShutdownWithTimeout(patience); err != nil {
			h.t.Error(err)
		}
		running.Wait()
		until(h.t, "all slots to be given back", func() bool { return n.ignoreHeld || n.held() == 0 })
	})
	h.nodes = append(h.nodes, n)
	return n
}

// narrow has small buffers in the kernel, so that what a client does not read is
// soon noticed.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		_ = conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return conn, err
}

// stop stops the module; afterwards every handler must be gone.
func (n *node) stop() {
	n.bundle.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n.Stop(ctx)
	n.hub.gone.Wait()
	if open := value(n.hub.open); open != 0 || len(n.hub.byOwner) != 0 {
		n.bundle.t.Errorf("%v sockets open for %d owners", open, len(n.hub.byOwner))
	}
}

func (n *node) isOpen(want float64) bool { return value(n.hub.open) == want }

// settle waits until the node's tail has read all there is.
func (n *node) settle() {
	n.bundle.t.Helper()
	until(n.bundle.t, "the tail has everything", func() bool {
		var last events.Cursor
		n.bundle.must(n.pool.QueryRow(n.bundle.ctx, `select xid, seq from events order by xid desc, seq desc limit 1`).Scan(&last.Xid, &last.Seq))
		n.hub.mu.Lock()
		defer n.hub.mu.Unlock()
		return !n.hub.at.Before(last)
	})
}

func (n *node) closed(code string) float64 { return value(n.hub.ends.WithLabelValues(code)) }

func value(metric prometheus.Metric) float64 {
	var m dto.Metric
	_ = metric.Write(&m)
	return m.GetGauge().GetValue() + m.GetCounter().GetValue()
}

// until waits for a condition that has no channel of its own.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testwait.Until(t, what, ok)
}

// commit appends events in one transaction and wakes the nodes.
func (h *bundle) commit(list ...events.Event) {
	h.t.Helper()
	h.must(postgres.InTx(h.ctx, h.pool, func(tx pgx.Tx) error { return events.Append(h.ctx, tx, list) }))
	h.wake()
}

func (h *bundle) wake() {
	for _, n := range h.nodes {
		n.tail.Wake()
	}
}

func eventOf(owner identity.Caller, kind string) events.Event {
	return events.Event{
		OrderID: uuid.New(), Version: 1, UserID: owner.UserID, Type: kind, Data: json.RawMessage(`{"a":1}`),
		Actor: owner.Actor(), At: events.Now(),
	}
}

func eventsOf(owner identity.Caller, n int) []events.Event {
	list := make([]events.Event, n)
	for i := range list {
		list[i] = eventOf(owner, "order.created")
	}
	return list
}

// load starts writers that commit out of order until they are stopped.
type load struct {
	stop func()
	done sync.WaitGroup
}

func (h *bundle) load(writers int, owners ...identity.Caller) *load {
	ctx, cancel := context.WithCancel(h.ctx)
	l := &load{}
	l.stop = func() {
		cancel()
		l.done.Wait()
	}
	h.t.Cleanup(l.stop)
	for range writers {
		l.done.Go(func() {
			for ctx.Err() == nil {
				h.writeLate(owners)
			}
		})
	}
	return l
}

func (h *bundle) writeLate(owners []identity.Caller) {
	tx, err := h.pool.Begin(h.ctx)
	if err != nil {
		h.t.Error(err)
		return
	}
	for range 1 + rand.IntN(3) {
		err = events.Append(h.ctx, tx, []events.Event{eventOf(owners[rand.IntN(len(owners))], "order.created")})
	}
	<-time.After(time.Duration(rand.IntN(6)) * time.Millisecond) // the window of the race, not a wait
	if rand.IntN(10) == 0 {
		err = tx.Rollback(h.ctx)
	} else if err == nil {
		err = tx.Commit(h.ctx)
	}
	if err != nil {
		h.t.Error(err)
	}
	if rand.IntN(3) > 0 { // Redis loses some
		h.nodes[rand.IntN(len(h.nodes))].tail.Wake()
	}
}

// truth is the order of the log, of one owner or of all owners.
func (h *bundle) truth(owner uuid.UUID) []string {
	h.t.Helper()
	rows, err := h.pool.Query(h.ctx, `select order_id || '/' || version from events
		where $1::uuid in (user_id, '00000000-0000-0000-0000-000000000000') order by xid, seq`, owner)
	h.must(err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	h.must(err)
	return list
}

// client is the other end of a socket.
type client struct {
	t    testing.TB
	conn *websocket.Conn
}

// message is any frame.
type message struct {
	Type, Cursor, ID string
	UserID           uuid.UUID
}

func (n *node) target(query string) string { return "ws://" + n.addr + socketPath + "?" + query }

func bearer(c identity.Caller) http.Header {
	return http.Header{"Authorization": {"Bearer " + c.SessionID.String()}}
}

// dial opens a socket and fails the test when that is refused.
func (n *node) dial(who identity.Caller, query string) *client {
	n.bundle.t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial(n.target(query), bearer(who))
	if err != nil {
		n.bundle.t.Fatalf("%v: %s", err, bodyOf(resp))
	}
	c := &client{n.bundle.t, conn}
	n.bundle.t.Cleanup(func() { _ = conn.Close() })
	return c
}

// listen is dial up to and with the first frame, which must be "ready".
func (n *node) listen(who identity.Caller, query string) *client {
	n.bundle.t.Helper()
	c := n.dial(who, query)
	if m := c.next(); m.Type != "ready" || m.Cursor == "" {
		n.bundle.t.Fatalf("first frame %+v", m)
	}
	return c
}

func bodyOf(resp *http.Response) string {
	if resp == nil {
		return ""
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(raw))
}

// read gives the next frame but for counts, which may come at any time.
func (c *client) read() (m message, err error) {
	for err == nil && (m.Type == "" || m.Type == kindUnread) {
		m, err = c.readAny()
	}
	return m, err
}

func (c *client) readAny() (message, error) {
	var m message
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	_, raw, err := c.conn.ReadMessage()
	if err != nil {
		return m, err
	}
	err = json.Unmarshal(raw, &m)
	if err == nil && m.Cursor == "" {
		err = fmt.Errorf("a frame without a cursor: %s", raw)
	}
	return m, err
}

func (c *client) next() message {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// expect reads as many events as there are ids, and compares.
func (c *client) expect(want []string) (last string) {
	c.t.Helper()
	got := make([]string, 0, len(want))
	for range want {
		m := c.next()
		got, last = append(got, m.ID), m.Cursor
	}
	if !slices.Equal(got, want) {
		c.t.Errorf("got %d events that are not those of the log, or in another order:\n%s", len(got), differ(got, want))
	}
	return last
}

func differ(got, want []string) string {
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			return fmt.Sprintf("from %d on: got %v, want %v", i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
		}
	}
	return fmt.Sprintf("%d more at the end", len(got)-len(want))
}

// closedWith reads until the end and returns its code.
func (c *client) closedWith() int {
	c.t.Helper()
	for {
		_, err := c.read()
		if end, ok := err.(*websocket.CloseError); ok { //nolint:errorlint // never wrapped
			return end.Code
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// call is a plain request.
func (n *node) call(method, path string, header http.Header) (int, http.Header, string) {
	n.bundle.t.Helper()
	req, err := http.NewRequest(method, "http://"+n.addr+path, http.NoBody)
	n.bundle.must(err)
	maps.Copy(req.Header, header)
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	n.bundle.must(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	n.bundle.must(err)
	return resp.StatusCode, resp.Header, string(raw)
}
