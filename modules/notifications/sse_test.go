package notifications

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// listening is the other end of an event stream.
type listening struct {
	t    testing.TB
	resp *http.Response
	body *bufio.Scanner
}

// said is one message of a stream.
type said struct {
	id, event, data string
	comment         bool
	message         message
}

// stream opens an event stream and fails the test when that is refused.
func (n *node) stream(who identity.Caller, query string, header ...string) *listening {
	n.bundle.t.Helper()
	return n.streamAs(bearer(who), query, header...)
}

func (n *node) streamAs(credentials http.Header, query string, header ...string) *listening {
	n.bundle.t.Helper()
	req, err := http.NewRequestWithContext(n.bundle.ctx, http.MethodGet, "http://"+n.addr+streamPath+"?"+query, http.NoBody)
	n.bundle.must(err)
	req.Header = credentials
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	n.bundle.must(err)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		n.bundle.t.Fatal(bodyOf(resp))
	}
	l := &listening{n.bundle.t, resp, bufio.NewScanner(resp.Body)}
	l.body.Buffer(nil, 1<<20)
	n.bundle.t.Cleanup(l.close)
	return l
}

func (l *listening) close() { _ = l.resp.Body.Close() }

// read gives the next message, as the HTML standard takes streams apart.
func (l *listening) read() (m said, err error) {
	for l.body.Scan() {
		line := l.body.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case strings.HasPrefix(line, ":"):
			m.comment = true
		case name == "id":
			m.id = value
		case name == "event":
			m.event = value
		case name == "data":
			m.data += value
		case line == "":
			if m.data != "" {
				err = json.Unmarshal([]byte(m.data), &m.message)
			}
			return m, err
		}
	}
	if err := l.body.Err(); err != nil {
		return m, err
	}
	return m, io.EOF
}

func (l *listening) next() said {
	l.t.Helper()
	m, err := l.read()
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

// begins reads the first message, which must be "ready".
func (l *listening) begins() *listening {
	l.t.Helper()
	if m := l.next(); m.event != "ready" || cursorOf(m.id) == "" || cursorOf(m.id) != m.message.Cursor {
		l.t.Fatalf("first message %+v", m)
	}
	return l
}

func (l *listening) expect(want []string) (last string) {
	l.t.Helper()
	got := make([]string, 0, len(want))
	for range want {
		m := l.next()
		for m.event == kindUnread {
			m = l.next()
		}
		if m.event != "" || cursorOf(m.id) == "" || cursorOf(m.id) != m.message.Cursor {
			l.t.Fatalf("no event: %+v", m)
		}
		got, last = append(got, m.message.ID), m.id
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("not the events of the log, or in another order:\n%s", differ(got, want))
	}
	return last
}

// cursorOf removes the resumption token, which only streams with a ticket have.
func cursorOf(id string) string {
	cursor, _, _ := strings.Cut(id, resumptionMark)
	return cursor
}

// SPEC E4: one's own events, from the cursor, in the order of the log, and then live.
func TestStream(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	h.commit(slices.Concat(eventsOf(h.alice, 3), eventsOf(h.bob, 2))...)
	n.settle()

	all := n.stream(h.admin, "after="+h.beginning()).begins()
	own := n.stream(h.alice, "after="+h.beginning()).begins()
	now := n.stream(h.alice, "").begins()
	own.expect(h.truth(h.alice.UserID))
	h.commit(slices.Concat(eventsOf(h.alice, 2), eventsOf(h.bob, 1))...)

	own.expect(h.truth(h.alice.UserID)[3:])
	now.expect(h.truth(h.alice.UserID)[3:])
	last := all.expect(h.truth(uuid.Nil))

	resumed := n.stream(h.admin, "after="+h.beginning(), "Last-Event-ID", last).begins()
	h.commit(eventOf(h.bob, "order.shipped"))
	resumed.expect(h.truth(uuid.Nil)[8:])
}

// SPEC E3, E4: beyond what is kept there is a reset, never silence.
func TestStreamReset(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.keep = time.Minute })
	old := eventOf(h.alice, "order.created")
	old.At = old.At.Add(-time.Hour)
	h.commit(old)
	n.settle()

	l := n.stream(h.alice, "after="+h.beginning())

	if m := l.next(); m.event != "reset" || m.id == "" {
		t.Fatalf("%+v", m)
	}
	h.commit(eventOf(h.alice, "order.shipped"))
	l.expect(h.truth(h.alice.UserID)[1:])
}

// SPEC A5, E6: the stream ends with the reason after a logout and when the server stops.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	out, on := n.stream(h.alice, "").begins(), n.stream(h.bob, "").begins()

	n.Revoked(h.alice.UserID, uuid.Nil)
	out.endsWith(closeUnauthenticated)
	h.commit(eventOf(h.bob, "order.created"))
	on.expect(h.truth(h.bob.UserID))
	n.stop()
	on.endsWith(closeGoingAway)
}

// SPEC E6: a stream that ends while its last piece is being written still says why.
func TestStreamEndsBetweenPieces(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	n.stream(h.bob, "").begins() // the server runs, and so can be stopped
	s := n.newStream(h.alice, filter{owner: h.alice.UserID})
	slot, err := n.connections.stream(h.alice.UserID)
	h.must(err)
	s.slot = slot
	defer s.Close()

	first, err := s.Next(h.ctx)
	h.must(err)
	s.end(stopping)
	last, err := s.Next(h.ctx)
	_, after := s.Next(h.ctx)

	if !strings.Contains(string(first), "event: ready") || err != nil || !strings.Contains(string(last), `{"code":1001,`) {
		t.Errorf("%q, then %q, %v", first, last, err)
	}
	if after != io.EOF { //nolint:errorlint // as it came
		t.Errorf("it goes on: %v", after)
	}
}

func (l *listening) endsWith(code int) {
	l.t.Helper()
	m := l.next()
	if want := fmt.Sprintf(`{"code":%d,`, code); m.event != "close" || !strings.HasPrefix(m.data, want) {
		l.t.Errorf("%+v", m)
	}
	if _, err := l.read(); err != io.EOF { //nolint:errorlint // as it came
		l.t.Errorf("it goes on: %v", err)
	}
}

// SPEC E6: an idle stream gets comments, and one that is not read
// is noticed by it.
func TestStreamPings(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.pingEvery = 20 * time.Millisecond })
	l := n.stream(h.alice, "").begins()

	for range 3 {
		if m := l.next(); !m.comment || m.data != "" {
			t.Fatalf("%+v", m)
		}
	}
	l.close()

	until(t, "it is gone", func() bool { return n.isOpen(0) })
}

// SPEC E2: a ticket opens one stream, its owner's, and no second one.
func TestStreamByTicket(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	ticket, _, err := h.sessions.IssueTicket(h.ctx, h.alice)
	h.must(err)

	l := n.streamAs(http.Header{}, "ticket="+ticket).begins()
	h.commit(eventOf(h.bob, "order.created"), eventOf(h.alice, "order.created"))
	l.expect(h.truth(h.alice.UserID))

	if status, _, body := n.call(http.MethodGet, streamPath+"?ticket="+ticket, nil); status != 401 {
		t.Errorf("a second time: %d %s", status, body)
	}
}

// SPEC E20: with the URL of a used ticket and the id of a message, the stream opens again on any
// node behind that message, as often as needed, until the session ends.
func TestStreamResumesWithItsTicket_E20(t *testing.T) {
	t.Parallel()
	h := setup(t)
	first, second := h.node(), h.node()
	ticket, _, err := h.sessions.IssueTicket(h.ctx, h.alice)
	h.must(err)
	url := "ticket=" + ticket + "&after=" + h.beginning()
	h.commit(eventsOf(h.alice, 2)...)

	l := first.streamAs(http.Header{}, url).begins()
	id := l.expect(h.truth(h.alice.UserID))
	for _, n := range []*node{second, first, second} {
		l.close()
		seen := len(h.truth(h.alice.UserID))
		h.commit(eventOf(h.bob, "order.created"), eventOf(h.alice, "order.created"))
		l = n.streamAs(http.Header{}, url, lastEventID, id).begins()
		id = l.expect(h.truth(h.alice.UserID)[seen:])
	}

	rejected := func(name, ticket, id string) {
		t.Helper()
		if status, _, body := first.call(http.MethodGet, streamPath+"?ticket="+ticket, http.Header{lastEventID: {id}}); status != 401 || !strings.Contains(body, "invalid-ticket") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	cursor, token, _ := strings.Cut(id, resumptionMark)
	rejected("the URL alone", ticket, "")
	rejected("without the token", ticket, cursor)
	rejected("with another ticket", "t-1", id)
	if conn, resp, err := websocket.DefaultDialer.Dial(first.target("ticket="+ticket), http.Header{lastEventID: {id}}); err == nil || resp.StatusCode != 401 {
		t.Errorf("a socket: %v, %v", conn, err)
	}
	// The id is a cursor wherever a cursor is expected.
	first.stream(h.alice, "after="+id).begins()
	h.sessions.logout(h.alice)
	rejected("after the session ended", ticket, cursor+resumptionMark+token)
}

// SPEC E20: an EventSource does not reconnect after an error, so it gets none that may pass.
func TestStreamReconnectsLater_E20(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(streams(1))
	ticket, _, err := h.sessions.IssueTicket(h.ctx, h.alice)
	h.must(err)
	l := n.streamAs(http.Header{}, "ticket="+ticket) // still open below
	resuming := http.Header{lastEventID: {l.next().id}}

	status, header, body := n.call(http.MethodGet, streamPath+"?ticket="+ticket, resuming)
	if status != 200 || header.Get("Content-Type") != eventStream || !regexp.MustCompile(`^retry: 10\d{3}\n\n$`).MatchString(body) {
		t.Errorf("resumed: %d %v %q", status, header, body)
	}
	if status, _, body := n.call(http.MethodGet, streamPath, bearer(h.alice)); status != 429 {
		t.Errorf("by a header: %d %s", status, body)
	}
	next, _, err := h.sessions.IssueTicket(h.ctx, h.alice)
	h.must(err)
	if status, _, body := n.call(http.MethodGet, streamPath+"?ticket="+next, nil); status != 429 {
		t.Errorf("the first time: %d %s", status, body)
	}
}

// What is refused is refused before the stream begins.
func TestStreamRefusals(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	rows := []struct {
		name, query string
		who         http.Header
		status      int
		code        string
	}{
		{"anonymous", "", nil, 401, "unauthenticated"},
		{"a ticket that is none", "ticket=t-1", nil, 401, "invalid-ticket"},
		{"no cursor", "after=1-2", bearer(h.alice), 400, "malformed"},
		{"no such type", "types=order.creatd", bearer(h.alice), 400, "malformed"},
		{"everything wrong", "types=x&after=y&userId=" + uuid.Nil.String(), bearer(h.alice), 400, "malformed"},
		{"another user's", "userId=" + h.bob.UserID.String(), bearer(h.alice), 403, "forbidden"},
		{"unknown", "limit=1", bearer(h.alice), 400, "malformed"},
	}
	for _, path := range []string{streamPath, "/v1/events"} {
		for _, row := range rows {
			if path != streamPath && (strings.HasPrefix(row.query, "ticket") || row.name == "unknown") {
				continue
			}
			status, header, body := n.call(http.MethodGet, path+"?"+row.query, row.who)

			if status != row.status || !strings.Contains(body, `"code":"`+row.code+`"`) || header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: %d %s", path, row.name, status, body)
			}
			if row.name == "everything wrong" && strings.Count(body, `"pointer"`) != 3 {
				t.Errorf("not every fault is named: %s", body)
			}
		}
	}
}
