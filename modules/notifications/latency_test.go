package notifications

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// arrivals is when a listener has received which events, in its order.
type arrivals struct {
	name string
	mu   sync.Mutex
	ids  []string
	at   []time.Time
}

func (a *arrivals) add(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ids, a.at = append(a.ids, id), append(a.at, time.Now())
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids)
}

// SPEC E4, E7, E32: on two nodes, sockets, event streams and long polls of one account that has an inbox
// receive every event once, in order, and the slowest twentieth within a second of its commit. Unread
// counts wake them all the time.
func TestLatencyOfEveryTransport_E32(t *testing.T) {
	t.Parallel()
	h := setup(t)
	one, two := h.node(), h.node()
	const events = 40
	var listeners []*arrivals
	follow := func(name string, next func(a *arrivals)) {
		a := &arrivals{name: name}
		listeners = append(listeners, a)
		go next(a)
	}
	for i, n := range []*node{one, two} {
		follow(fmt.Sprint("socket ", i), n.followSocket(h.alice, events))
		follow(fmt.Sprint("stream ", i), n.followStream(h.alice, events))
		for j := range 3 {
			follow(fmt.Sprint("poll ", i, j), n.followPolls(h.alice, events))
		}
	}

	var ids []string
	committed := map[string]time.Time{}
	for i := range events {
		e := eventOf(h.alice, []string{"order.confirmed", "order.created"}[i%2])
		ids = append(ids, e.Message().ID)
		h.commit(e)
		committed[e.Message().ID] = time.Now()
		until(t, "all to have the event", func() bool {
			return !slices.ContainsFunc(listeners, func(a *arrivals) bool { return a.count() <= i })
		})
		one.hub.tell(h.alice.UserID, int64(i))
		two.hub.tell(h.alice.UserID, int64(i))
	}

	for _, a := range listeners {
		var late []time.Duration
		for i, id := range a.ids {
			late = append(late, a.at[i].Sub(committed[id]))
		}
		slices.Sort(late)
		if !slices.Equal(a.ids, ids) {
			t.Errorf("%s: %s", a.name, differ(a.ids, ids))
		}
		if p95 := late[len(late)*95/100]; p95 > time.Second {
			t.Errorf("%s: p95 is %v, the last one %v", a.name, p95, late[len(late)-1])
		}
		t.Logf("%s: p50 %v, p95 %v, max %v", a.name, late[len(late)/2].Round(time.Millisecond), late[len(late)*95/100].Round(time.Millisecond), late[len(late)-1].Round(time.Millisecond))
	}
}

// followSocket and its siblings connect at once, and return a function that follows until a number of
// events has come.
func (n *node) followSocket(who identity.Caller, events int) func(*arrivals) {
	c := n.listen(who, "")
	return func(a *arrivals) {
		for range events {
			m, err := c.read()
			if err != nil {
				n.bundle.t.Error(err)
				return
			}
			a.add(m.ID)
		}
	}
}

func (n *node) followPolls(who identity.Caller, events int) func(*arrivals) {
	cursor := n.page(who, "").NextCursor
	return func(a *arrivals) {
		for a.count() < events {
			var s sheet
			status, _, body := n.call(http.MethodGet, "/v1/events?wait=20&after="+cursor, bearer(who))
			if err := json.Unmarshal([]byte(body), &s); err != nil || status != http.StatusOK {
				n.bundle.t.Errorf("poll: %d %s", status, body)
				return
			}
			for _, id := range s.ids() {
				a.add(id)
			}
			cursor = s.NextCursor
		}
	}
}

func (n *node) followStream(who identity.Caller, events int) func(*arrivals) {
	l := n.stream(who, "").begins()
	return func(a *arrivals) {
		for a.count() < events {
			m, err := l.read()
			if err != nil {
				n.bundle.t.Error(err)
				return
			}
			if m.event != kindUnread && m.message.ID != "" {
				a.add(m.message.ID)
			}
		}
	}
}
