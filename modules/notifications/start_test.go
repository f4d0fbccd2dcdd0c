package notifications

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// startBundle has a log with events older than what is kept, and the ids of those that are kept.
func startBundle(t *testing.T) (n *node, kept []string) {
	t.Helper()
	h := setup(t)
	n = h.node()
	old := eventsOf(h.alice, 3)
	for i := range old {
		old[i].At = events.Now().Add(-2 * time.Hour)
	}
	h.commit(old...)
	for range 5 {
		h.commit(eventOf(h.alice, "order.created"), eventOf(h.bob, "order.created"))
	}
	n.settle()
	return n, h.truth(h.alice.UserID)[3:]
}

// SPEC G10: a socket begins with the oldest event that is kept and goes on with what happens.
func TestSocketFromTheStart(t *testing.T) {
	t.Parallel()
	n, kept := startBundle(t)
	h := n.bundle

	c := n.dial(h.alice, "after=start")

	if m := c.next(); m.Type != "ready" || m.Cursor == "" || m.Cursor == afterStart {
		t.Errorf("first frame %+v, want ready with a cursor", m)
	}
	c.expect(kept)
	now := eventOf(h.alice, "order.shipped")
	h.commit(now)
	c.expect([]string{now.Message().ID})
}

// SPEC G10: the cursor of "ready" is the position at which the stream began.
func TestStartIsAPosition(t *testing.T) {
	t.Parallel()
	n, kept := startBundle(t)
	ready := n.listen(n.bundle.alice, "after=start&types=order.shipped")
	_ = ready.conn.Close()
	at := n.dial(n.bundle.alice, "after=start").next().Cursor

	again := n.listen(n.bundle.alice, "after="+at)

	again.expect(kept)
}

// SPEC G10: a stream of Server-Sent Events does so as well, also when a client that has no event
// yet sends the value as Last-Event-ID.
func TestStreamFromTheStart(t *testing.T) {
	t.Parallel()
	n, kept := startBundle(t)
	for name, s := range map[string]*listening{
		"after":         n.stream(n.bundle.alice, "after=start"),
		"Last-Event-ID": n.stream(n.bundle.alice, "", "Last-Event-ID", "start"),
	} {
		if first := s.next(); first.event != kindReady || first.id == "" {
			t.Errorf("%s: first message %+v", name, first)
		}
		for i, want := range kept {
			if m := s.next(); m.message.ID != want {
				t.Fatalf("%s: event %d is %s, want %s", name, i, m.message.ID, want)
			}
		}
	}
}

// SPEC G10: pages take the same value; it is what they begin with when there is no cursor.
func TestPagesFromTheStart(t *testing.T) {
	t.Parallel()
	n, kept := startBundle(t)

	for _, query := range []string{"", "after=start"} {
		if got := n.page(n.bundle.alice, query).ids(); !slices.Equal(got, kept) {
			t.Errorf("%q: %v, want %v", query, got, kept)
		}
	}
}

// SPEC G10: an empty log is a start too, and the first event of all is delivered.
func TestStartOfAnEmptyLog(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	c := n.listen(h.alice, "after=start")

	first := eventOf(h.alice, "order.created")
	h.commit(first)

	c.expect([]string{first.Message().ID})
}

// SPEC G10: the value is exact, so that a mistake is not read as another position.
func TestStartIsExact(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	for _, value := range []string{"Start", "START", "start%20", "start-1-1", "0", "first"} {
		if status, _, body := n.call(http.MethodGet, "/v1/events?after="+value, bearer(h.alice)); status != http.StatusBadRequest {
			t.Errorf("after=%s: %d %s", value, status, body)
		}
	}
}

// SPEC G10: what the account may not see is not there from the start either.
func TestStartShowsOwnEvents(t *testing.T) {
	t.Parallel()
	n, _ := startBundle(t)
	stranger := n.bundle.login(identity.User)
	c := n.listen(stranger, "after=start")
	mine := eventOf(stranger, "order.created")

	n.bundle.commit(mine)

	c.expect([]string{mine.Message().ID})
}
