package notifications

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// poll begins a long poll that ends by itself after 20 seconds, with an empty page.
func (n *node) poll(who identity.Caller, query string) <-chan sheet {
	answer := make(chan sheet, 1)
	go func() {
		defer close(answer)
		status, _, body := n.call(http.MethodGet, "/v1/events?wait=20&"+query, bearer(who))
		var s sheet
		if err := json.Unmarshal([]byte(body), &s); err != nil || status != http.StatusOK {
			n.bundle.t.Errorf("poll: %d %s", status, body)
		}
		answer <- s
	}()
	return answer
}

// consumed waits until every subscriber of a user has taken what was queued for it.
func (n *node) consumed(user uuid.UUID) {
	n.bundle.t.Helper()
	until(n.bundle.t, "everything is taken", func() bool {
		n.hub.mu.Lock()
		defer n.hub.mu.Unlock()
		for f := range n.hub.byUser[user] {
			f.queue.mu.Lock()
			full := len(f.queue.list) > 0 || f.queue.unread != nil
			f.queue.mu.Unlock()
			if full {
				return false
			}
		}
		return true
	})
}

// SPEC E4, E7: an event ends a long poll that other wake-ups did not end: an
// unread count, or a frame of an event that the client knows from another node. A poll
// that misses its wake-up answers an empty page when its wait is over.
func TestEveryTransportHears(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	socket, stream := n.listen(h.alice, ""), n.stream(h.alice, "").begins()
	first := eventOf(h.alice, "order.confirmed")
	h.commit(first)
	socket.expect([]string{first.Message().ID})
	stream.expect([]string{first.Message().ID})
	n.filled(h.alice, 1)
	s := n.page(h.alice, "")

	for round := range 8 {
		answer := n.poll(h.alice, "after="+s.NextCursor)
		until(t, "it waits", func() bool { return n.isOpen(3) })
		switch round % 4 {
		case 1:
			n.hub.tell(h.alice.UserID, int64(round))
		case 2:
			n.hub.again(h.alice, s.NextCursor)
		case 3:
			n.hub.tell(h.alice.UserID, int64(round))
			n.hub.again(h.alice, s.NextCursor)
			n.hub.tell(h.alice.UserID, int64(round+1))
		}
		n.consumed(h.alice.UserID)
		e := eventOf(h.alice, "order.confirmed") // one that the inbox counts
		h.commit(e)

		want := []string{e.Message().ID}
		socket.expect(want)
		stream.expect(want)
		if s = <-answer; !slices.Equal(s.ids(), want) {
			t.Fatalf("round %d: the poll waited to its end and answers %+v", round, s)
		}
		until(t, "the poll is gone", func() bool { return n.isOpen(2) })
	}
}

// again delivers an event that all clients have.
func (h *hub) again(owner identity.Caller, cursor string) {
	known := eventOf(owner, "order.created")
	known.Cursor, _ = events.ParseCursor(cursor)
	h.mu.Lock()
	at := h.at
	h.mu.Unlock()
	h.deliver([]events.Event{known}, at)
}

// SPEC A5: a session may end after the credential of a poll was checked and before the poll
// joined the hub, which then does not notify it. Such a poll is refused and does not wait.
func TestPollOfAnEndedSession(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	h.sessions.then(func() { h.sessions.logout(h.alice) })

	status, _, body := n.call(http.MethodGet, "/v1/events?wait=20", bearer(h.alice))

	if status != http.StatusUnauthorized || !strings.Contains(body, "invalid-token") {
		t.Errorf("%d %s", status, body)
	}
}

// SPEC A5, E2: what waits as an administrator and is none any more is not told of
// others' orders; it begins again with its present rights.
func TestPollOfADemoted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	cursor := n.page(h.admin, "").NextCursor
	demoted := h.admin
	demoted.Role = identity.User
	for _, when := range []string{"before it joins", "while it waits", "unannounced"} {
		h.sessions.login(h.admin)
		if when == "before it joins" {
			h.sessions.then(func() { h.sessions.login(demoted) })
		}
		answer := n.poll(h.admin, "after="+cursor)
		switch when {
		case "while it waits":
			until(t, "it waits", func() bool { return n.isOpen(1) })
			h.sessions.login(demoted)
			n.Revoked(h.admin.UserID, uuid.Nil)
		case "unannounced":
			until(t, "it waits", func() bool { return n.isOpen(1) })
			h.sessions.login(demoted)
			h.commit(eventOf(h.alice, "order.created"))
		}

		if s := <-answer; len(s.Data) != 0 || s.NextCursor != cursor {
			t.Errorf("demoted %s: %+v", when, s)
		}
		h.sessions.then(func() {})
		until(t, "the poll is gone", func() bool { return n.isOpen(0) })
	}
}
