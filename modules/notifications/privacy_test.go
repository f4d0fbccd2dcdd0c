package notifications

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC E2, API1:2023: under load, a user never gets an event of another user, with any query, on
// any node and from any cursor, including the cursors of other users.
func TestAnothersEventsNeverArrive(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.node()
	h.node(func(m *Module) { m.limits.queue, m.limits.page = 8, 5 }) // whose sockets often read the log
	load := h.load(4, h.alice, h.bob, h.admin, h.login(identity.User))
	asks := &asks{cursors: []string{h.beginning()}}
	var heard atomic.Int64

	var all sync.WaitGroup
	for _, who := range []identity.Caller{h.alice, h.bob, h.alice, h.bob} {
		all.Go(func() {
			for range 60 {
				query := asks.any(who)
				n, err := h.listenOnce(who, query, asks)
				if err != nil {
					t.Errorf("%s asking %q: %v", who.UserID, query, err)
				}
				heard.Add(int64(n))
			}
		})
	}
	all.Wait()
	load.stop()

	if heard.Load() < 500 {
		t.Errorf("only %d events were heard", heard.Load())
	}
}

// listenOnce opens a socket and reads some frames.
func (h *bundle) listenOnce(who identity.Caller, query string, asks *asks) (events int, err error) {
	n := h.nodes[rand.IntN(len(h.nodes))]
	conn, resp, err := websocket.DefaultDialer.Dial(n.target(query), bearer(who))
	if err != nil {
		_ = bodyOf(resp)
		return 0, err
	}
	defer conn.Close()
	c := &client{h.t, conn}
	for range 1 + rand.IntN(12) {
		m, err := c.read()
		if err != nil {
			if websocket.IsCloseError(err, closeSlow) {
				return events, nil // a small queue calls a busy reader slow
			}
			return events, err
		}
		asks.keep(m.Cursor)
		if m.UserID == uuid.Nil { // ready, reset
			continue
		}
		if events++; m.UserID != who.UserID {
			h.t.Errorf("%s asking %q heard of %s: %+v", who.UserID, query, m.UserID, m)
		}
	}
	return events, nil
}

// asks makes queries, with cursors that any user has received.
type asks struct {
	mu      sync.Mutex
	cursors []string
}

func (a *asks) keep(cursor string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.cursors) < 1000 {
		a.cursors = append(a.cursors, cursor)
	} else {
		a.cursors[rand.IntN(len(a.cursors))] = cursor
	}
}

func (a *asks) any(who identity.Caller) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var parts []string
	if rand.IntN(3) > 0 {
		parts = append(parts, "after="+a.cursors[rand.IntN(len(a.cursors))])
	}
	if rand.IntN(3) == 0 {
		parts = append(parts, "userId="+who.UserID.String())
	}
	if rand.IntN(3) == 0 {
		parts = append(parts, "types=order.created"+strings.Repeat(",", rand.IntN(20)))
	}
	if rand.IntN(10) == 0 {
		parts = append(parts, "types=order.created")
	}
	rand.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return strings.Join(slices.Compact(parts), "&")
}
