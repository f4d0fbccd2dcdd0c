package events_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// history is a log whose numbers the test decides, so that they are given out again
// after it went back.
type history struct {
	*bundle
	owners []uuid.UUID
	xid    uint64 // below every transaction of the server, so that all is visible
	seq    int64
	log    []events.Event
}

// client reads the events of one user with a cursor.
type client struct {
	owner uuid.UUID
	at    events.Cursor
	seen  []string // since it began, or was last reset
	from  events.Cursor
}

// E3: however often a log goes back and is written on with the same numbers, a client
// has seen exactly what the log has behind the place where it began or was last
// reset; it is reset exactly when the event of its cursor is gone; and nothing
// that it has seen before comes again as new.
func TestClientsOfALogThatGoesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rapid.Check(t, func(t *rapid.T) {
		h := &history{bundle: b, owners: []uuid.UUID{uuid.New(), uuid.New()}, xid: 3}
		b.beneath(`delete from events`)
		clients := []*client{{owner: uuid.Nil}, {owner: uuid.Nil}, {owner: h.owners[0]}, {owner: h.owners[1]}}
		for _, c := range clients {
			c.at, c.from = b.head(), b.head()
		}
		ever := map[*client]map[string]bool{}

		for range rapid.IntRange(3, 12).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"write", "write", "write", "go back", "read", "read"}).Draw(t, "step") {
			case "write":
				h.write(rapid.SliceOfN(rapid.IntRange(0, 1), 1, 4).Draw(t, "owners"))
			case "go back":
				h.goBack(rapid.IntRange(0, len(h.log)).Draw(t, "length"))
			case "read":
				c := clients[rapid.IntRange(0, 3).Draw(t, "client")]
				h.read(t, c, ever, rapid.IntRange(1, 3).Draw(t, "limit"))
			}
		}
		for _, c := range clients {
			h.read(t, c, ever, 2)
			if want := h.behind(c.from, c.owner); !slices.Equal(c.seen, want) {
				t.Fatalf("has seen %v since %s, the log has %v", c.seen, c.from, want)
			}
		}
	})
}

// write writes one transaction.
func (h *history) write(owners []int) {
	h.xid++
	for _, i := range owners {
		h.seq++
		e := event(h.owners[i])
		e.Cursor = events.Cursor{Xid: h.xid, Seq: h.seq}
		h.put(e.Cursor, e)
		h.log = append(h.log, e)
	}
}

// goBack leaves a log of the first n events, in whole transactions.
func (h *history) goBack(n int) {
	for n > 0 && n < len(h.log) && h.log[n].Cursor.Xid == h.log[n-1].Cursor.Xid {
		n--
	}
	h.log, h.xid, h.seq = h.log[:n], 3, 0
	if n > 0 {
		h.xid, h.seq = h.log[n-1].Cursor.Xid, h.log[n-1].Cursor.Seq
	}
	h.beneath(`delete from events where (xid, seq) > ($1, $2)`, h.xid, h.seq)
}

// readPage reads to the end, in pages.
func (h *history) read(t *rapid.T, c *client, ever map[*client]map[string]bool, limit int) {
	for {
		page, err := h.bundle.log.After(h.ctx, c.at, c.owner, limit)
		if gone := !h.has(c.at); gone != errors.Is(err, events.ErrRewritten) || !gone && err != nil {
			t.Fatalf("the event of %s is gone: %t; read: %v", c.at, gone, err)
		}
		if err != nil {
			c.at = h.head()
			c.from, c.seen = c.at, nil
			continue
		}
		for _, id := range ids(page.Events) {
			if ever[c] == nil {
				ever[c] = map[string]bool{}
			}
			if ever[c][id] {
				t.Fatalf("%s comes again", id)
			}
			ever[c][id] = true
			c.seen = append(c.seen, id)
		}
		if c.at = page.Next; !page.More {
			return
		}
	}
}

func (h *history) has(c events.Cursor) bool {
	if c.Seq == 0 {
		return true
	}
	for _, e := range h.log {
		if e.Cursor.Xid == c.Xid && e.Cursor.Seq == c.Seq {
			found, err := h.bundle.log.Find(h.ctx, e.OrderID, e.Version)
			h.must(err)
			return found.Cursor.Digest == c.Digest
		}
	}
	return false
}

func (h *history) behind(from events.Cursor, owner uuid.UUID) (list []string) {
	for _, e := range h.log {
		if from.Before(e.Cursor) && (owner == uuid.Nil || owner == e.UserID) {
			list = append(list, e.Message().ID)
		}
	}
	return list
}
