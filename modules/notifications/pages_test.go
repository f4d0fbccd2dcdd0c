package notifications

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// sheet is one page of events.
type sheet struct {
	Data       []message
	NextCursor string
	Reset      bool
}

func (n *node) page(who identity.Caller, query string) sheet {
	n.bundle.t.Helper()
	status, _, body := n.call(http.MethodGet, "/v1/events?"+query, bearer(who))
	if status != http.StatusOK {
		n.bundle.t.Fatal(status, body)
	}
	var s sheet
	n.bundle.must(json.Unmarshal([]byte(body), &s))
	if s.NextCursor == "" || s.Data == nil {
		n.bundle.t.Fatalf("no place to go on from: %s", body)
	}
	return s
}

func (s sheet) ids() (ids []string) {
	for _, m := range s.Data {
		ids = append(ids, m.ID)
	}
	return ids
}

// walk reads pages until there is nothing more.
func (n *node) walk(who identity.Caller, query string) (ids []string, cursor string) {
	n.bundle.t.Helper()
	s := n.page(who, query)
	for len(s.Data) > 0 {
		ids = append(ids, s.ids()...)
		s = n.page(who, query+"&after="+s.NextCursor)
	}
	return ids, s.NextCursor
}

// SPEC E4: pages are the same stream: from the oldest that is kept, one's own, in order.
func TestPages(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	h.commit(slices.Concat(eventsOf(h.alice, 7), eventsOf(h.bob, 4))...)
	h.commit(eventsOf(h.alice, 5)...)
	n.settle()

	own, cursor := n.walk(h.alice, "limit=3")
	all, _ := n.walk(h.admin, "limit=5")
	bobs, _ := n.walk(h.admin, "userId="+h.bob.UserID.String())
	if !slices.Equal(own, h.truth(h.alice.UserID)) || !slices.Equal(all, h.truth(uuid.Nil)) || !slices.Equal(bobs, h.truth(h.bob.UserID)) {
		t.Errorf("own %v, all %v, bob's %v", own, all, bobs)
	}

	h.commit(eventOf(h.alice, "order.shipped"))
	n.settle()
	if more := n.page(h.alice, "after="+cursor).ids(); len(more) != 1 {
		t.Errorf("behind the last cursor: %v", more)
	}
}

// Filters: of some types, of one order, and of another's order nothing.
func TestPagesNarrowed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	order := eventOf(h.alice, "order.created")
	second := order
	second.Version, second.Type = 2, "order.shipped"
	h.commit(append(eventsOf(h.alice, 250), order)...)
	h.commit(eventsOf(h.alice, 250)...)
	h.commit(second, eventOf(h.bob, "order.shipped"))
	n.settle()
	rows := []struct {
		who   identity.Caller
		query string
		want  []string
	}{
		{h.alice, "types=order.shipped", []string{second.Message().ID}},
		{h.alice, "orderId=" + order.OrderID.String(), []string{order.Message().ID, second.Message().ID}},
		{h.alice, "limit=1&orderId=" + order.OrderID.String(), []string{order.Message().ID, second.Message().ID}},
		{h.admin, "types=order.shipped,order.confirmed&orderId=" + order.OrderID.String(), []string{second.Message().ID}},
		{h.bob, "orderId=" + order.OrderID.String(), nil},
		{h.admin, "userId=" + h.bob.UserID.String() + "&orderId=" + order.OrderID.String(), nil},
	}
	for _, row := range rows {
		if got, _ := n.walk(row.who, row.query); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", row.query, got, row.want)
		}
	}

	live := n.listen(h.alice, "orderId="+order.OrderID.String())
	third := second
	third.Version = 3
	h.commit(eventOf(h.alice, "order.created"), third)
	live.expect([]string{third.Message().ID})
}

// SPEC E3: a cursor before the retention gets a reset; a page without a cursor begins after it.
func TestPagesReset(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.keep = time.Hour })
	for range 20 {
		old := eventOf(h.alice, "order.created")
		old.At = old.At.Add(-2 * time.Hour)
		h.commit(old)
	}
	h.commit(eventsOf(h.alice, 2)...)
	h.commit(eventsOf(h.alice, 2)...)
	n.settle()

	kept, cursor := n.walk(h.alice, "")
	if !slices.Equal(kept, h.truth(h.alice.UserID)[20:]) {
		t.Errorf("without a cursor: %d events", len(kept))
	}
	for _, after := range []string{h.beginning(), "deadbeef-5-5", cursor[:8] + "-ffffffff-1"} {
		s := n.page(h.alice, "after="+after)
		if !s.Reset || len(s.Data) != 0 || s.NextCursor != cursor {
			t.Errorf("after %s: %+v", after, s)
		}
	}
	if s := n.page(h.bob, ""); s.Reset || len(s.Data) != 0 || n.page(h.bob, "after="+s.NextCursor).Reset {
		t.Errorf("nothing yet: %+v", s)
	}
}

// SPEC E4: wait holds the request until something happens, and no longer than asked.
func TestPagesWait(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	cursor := n.page(h.alice, "").NextCursor
	answers := make(chan sheet, 2)
	var asking sync.WaitGroup
	asking.Go(func() { answers <- n.page(h.alice, "wait=20&after="+url.QueryEscape(cursor)) })
	until(t, "it waits", func() bool { return n.isOpen(1) })

	e := eventOf(h.alice, "order.created")
	h.commit(eventOf(h.bob, "order.created"), e)
	asking.Wait()
	if got := <-answers; !slices.Equal(got.ids(), []string{e.Message().ID}) {
		t.Errorf("%+v", got)
	}

	began := time.Now()
	if got := n.page(h.bob, "wait=1&types=order.shipped"); len(got.Data) != 0 || time.Since(began) < time.Second {
		t.Errorf("after %s: %+v", time.Since(began), got)
	}

	asking.Go(func() { answers <- n.page(h.alice, "wait=20&types=order.shipped") })
	until(t, "it waits", func() bool { return n.isOpen(1) })
	n.stop()
	asking.Wait()
	if got := <-answers; len(got.Data) != 0 {
		t.Errorf("%+v", got)
	}
}

// SPEC E3, E4: a client that changes the transport and the node at every cursor misses
// nothing and hears nothing twice, while writers overlap.
func TestChangingTransports(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.node(func(m *Module) { m.limits.queue, m.limits.page = 8, 5 })
	h.node()
	cursor := h.beginning()
	load := h.load(4, h.alice, h.bob)

	var got []string
	for round := 0; len(got) < 600; round++ {
		n := h.nodes[round%2]
		var batch []message
		switch round % 3 {
		case 0:
			c := n.listen(h.alice, "after="+cursor)
			for range 10 {
				batch = append(batch, c.next())
			}
			_ = c.conn.Close()
		case 1:
			l := n.stream(h.alice, "after="+cursor).begins()
			for range 10 {
				batch = append(batch, l.next().message)
			}
			l.close()
		default:
			batch = n.page(h.alice, "limit=10&wait=5&after="+cursor).Data
		}
		for _, m := range batch {
			got, cursor = append(got, m.ID), m.Cursor
		}
	}
	load.stop()

	want := h.truth(h.alice.UserID)
	if !slices.Equal(got, want[:len(got)]) {
		t.Errorf("%d events: %s", len(got), differ(want[:len(got)], got))
	}
}

// The cost of finding the beginning does not grow with the log.
func TestSince(t *testing.T) {
	t.Parallel()
	h := setup(t)
	log, err := events.OpenLog(h.ctx, h.pool)
	h.must(err)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	var places []events.Cursor
	for i := range 50 {
		e := eventOf(h.alice, "order.created")
		e.At = at.Add(time.Duration(i) * time.Minute)
		h.commit(e)
	}
	var page events.Page
	until(t, "all are visible", func() bool {
		page, err = log.After(h.ctx, events.Cursor{}, uuid.Nil, 100)
		h.must(err)
		return len(page.Events) == 50
	})
	for _, e := range page.Events {
		places = append(places, e.Cursor)
	}

	for _, i := range []int{0, 1, 17, 49} {
		c, err := log.Since(h.ctx, at.Add(time.Duration(i)*time.Minute))
		h.must(err)
		want := events.Cursor{Epoch: places[0].Epoch}
		if i > 0 {
			want = places[i-1]
		}
		if c != want {
			t.Errorf("since minute %d: %v, want %v", i, c, want)
		}
	}
	if c, err := log.Since(h.ctx, time.Now().Add(time.Hour)); err != nil || c != places[49] {
		t.Error(c, err, fmt.Sprint("want ", places[49]))
	}
}
