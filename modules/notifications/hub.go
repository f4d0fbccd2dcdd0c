package notifications

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// hub holds the subscribers of this node. The tail passes it each new event once, and the hub
// passes it to the subscribers concerned, rendered once for all of them.
type hub struct {
	out   *slog.Logger
	ready chan struct{} // closed when the tail knows its position

	mu      sync.Mutex
	at      events.Cursor
	moved   chan struct{}                          // closed when at changes; nil if no goroutine waits
	byOwner map[uuid.UUID]map[*subscriber]struct{} // uuid.Nil for the events of all owners
	byUser  map[uuid.UUID]map[*subscriber]struct{}
	closed  bool
	gone    sync.WaitGroup

	open prometheus.Gauge
	sent prometheus.Counter
	ends *prometheus.CounterVec
}

var errStopping = errors.New("the server is stopping")

func newHub(out *slog.Logger, reg prometheus.Registerer) *hub {
	with := promauto.With(reg)
	return &hub{
		out:     out,
		ready:   make(chan struct{}),
		byOwner: map[uuid.UUID]map[*subscriber]struct{}{}, byUser: map[uuid.UUID]map[*subscriber]struct{}{},
		open: with.NewGauge(prometheus.GaugeOpts{Name: "orderflow_sockets_open", Help: "Sockets and event streams open on this node."}),
		sent: with.NewCounter(prometheus.CounterOpts{Name: "orderflow_socket_frames_total", Help: "Event frames handed to sockets and event streams."}),
		ends: with.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_socket_closed_total", Help: "Sockets and event streams that this node closed, by code."}, []string{"code"}),
	}
}

// deliver is called by the tail, in order and from one goroutine.
func (h *hub) deliver(list []events.Event, at events.Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if h.at.Epoch == "" {
		close(h.ready)
	}
	h.move(at)
	for _, e := range list {
		own, all := h.byOwner[e.UserID], h.byOwner[uuid.Nil]
		if len(own) == 0 && len(all) == 0 {
			continue
		}
		f := frameOf(e, h.out)
		for one := range own {
			one.offer(f)
		}
		for one := range all {
			one.offer(f)
		}
	}
}

// join adds a subscriber to its topic and sets the position up to which it has to catch up from
// the log. Later events are queued for it from now on.
func (h *hub) join(f *subscriber) error {
	h.mu.Lock()
	defer h.mu.Unlock()

	if h.closed {
		return errStopping
	}
	add(h.byOwner, f.owner, f)
	add(h.byUser, f.caller.UserID, f)
	f.to = h.at
	h.gone.Add(1)
	h.open.Inc()
	return nil
}

// caughtUp makes a subscriber live. If its queue overflowed meanwhile, it starts with an empty
// queue and has to catch up to the returned position.
func (h *hub) caughtUp(f *subscriber) (to events.Cursor, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if !f.overrun {
		f.live, f.since = true, time.Time{}
		return events.Cursor{}, false
	}
	f.overrun = false
	f.queue.forget()
	return h.at, true
}

func (h *hub) ranOver(f *subscriber) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return f.overrun
}

// passed returns the position of the hub if it is after that of a live subscriber with an empty queue,
// which then has all its events up to there.
func (h *hub) passed(f *subscriber) (at events.Cursor, moved bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at, f.live && !f.overrun && !f.doubted && f.queue.isEmpty() && f.at.Before(h.at)
}

func (h *hub) leave(f *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()

	remove(h.byOwner, f.owner, f)
	remove(h.byUser, f.caller.UserID, f)
	h.open.Dec()
	h.gone.Done()
}

func add(groups map[uuid.UUID]map[*subscriber]struct{}, id uuid.UUID, f *subscriber) {
	if groups[id] == nil {
		groups[id] = map[*subscriber]struct{}{}
	}
	groups[id][f] = struct{}{}
}

func remove(groups map[uuid.UUID]map[*subscriber]struct{}, id uuid.UUID, f *subscriber) {
	delete(groups[id], f)
	if len(groups[id]) == 0 {
		delete(groups, id)
	}
}

func (h *hub) revoke(user, credential uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for f := range h.byUser[user] {
		if credential == uuid.Nil || f.caller.Credential() == credential {
			f.end(loggedIn)
		}
	}
}

// tell sends the number of unread notifications to all subscribers of a user.
func (h *hub) tell(user uuid.UUID, unread int64) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for f := range h.byUser[user] {
		if f.order == uuid.Nil && f.wants(kindUnread, uuid.Nil) {
			f.queue.count(unread)
		}
	}
}

// listeners returns the users with a subscriber on this node.
func (h *hub) listeners() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.byUser))
}

// stop ends all subscribers, and cuts the connections of those that remain when ctx ends.
func (h *hub) stop(ctx context.Context) {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.each(func(f *subscriber) { f.end(stopping) })

	done := make(chan struct{})
	go func() {
		h.gone.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		h.each(func(f *subscriber) { f.cut() })
	}
}

func (h *hub) isStopping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// each visits the subscribers; they cannot leave meanwhile.
func (h *hub) each(visit func(*subscriber)) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for _, subscribers := range h.byOwner {
		for f := range subscribers {
			visit(f)
		}
	}
}
