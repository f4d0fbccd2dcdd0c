package notifications

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"orderflow/platform/events"
)

// hub knows the sockets of this node. The tail hands it each new event once; it
// hands that on to the sockets concerned, rendered once for all of them.
type hub struct {
	out   *slog.Logger
	ready chan struct{} // closed when the tail has said where it is

	mu     sync.Mutex
	at     events.Cursor
	rooms  map[uuid.UUID]map[*socket]struct{} // by owner; uuid.Nil hears everybody
	closed bool
	gone   sync.WaitGroup

	open prometheus.Gauge
	sent prometheus.Counter
	ends *prometheus.CounterVec
}

var errStopping = errors.New("the server is stopping")

func newHub(out *slog.Logger, reg prometheus.Registerer) *hub {
	with := promauto.With(reg)
	return &hub{
		out:   out,
		ready: make(chan struct{}),
		rooms: map[uuid.UUID]map[*socket]struct{}{},
		open:  with.NewGauge(prometheus.GaugeOpts{Name: "orderflow_sockets_open", Help: "Sockets open on this node."}),
		sent:  with.NewCounter(prometheus.CounterOpts{Name: "orderflow_socket_frames_total", Help: "Event frames handed to sockets."}),
		ends: with.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_socket_closed_total", Help: "Sockets that this node closed, by code."}, []string{"code"}),
	}
}

// deliver is called by the tail, in order and from one goroutine.
func (h *hub) deliver(list []events.Event, at events.Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if h.at.Epoch == "" {
		close(h.ready)
	}
	h.at = at
	for _, e := range list {
		own, all := h.rooms[e.UserID], h.rooms[uuid.Nil]
		if len(own) == 0 && len(all) == 0 {
			continue
		}
		f := frameOf(e, h.out)
		for s := range own {
			s.offer(f)
		}
		for s := range all {
			s.offer(f)
		}
	}
}

// join puts a socket into its room and returns the place up to which it has to
// catch up by itself. What comes later is queued for it from now on.
func (h *hub) join(s *socket) (events.Cursor, error) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if h.closed {
		return events.Cursor{}, errStopping
	}
	room := h.rooms[s.room]
	if room == nil {
		room = map[*socket]struct{}{}
		h.rooms[s.room] = room
	}
	room[s] = struct{}{}
	h.gone.Add(1)
	h.open.Inc()
	return h.at, nil
}

// caughtUp makes a socket live. One whose queue ran over meanwhile begins a new
// queue instead, and has to catch up to the place returned.
func (h *hub) caughtUp(s *socket) (to events.Cursor, live bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if !s.overrun {
		s.live, s.since = true, time.Time{}
		return events.Cursor{}, true
	}
	s.overrun = false
	s.queue.take()
	return h.at, false
}

func (h *hub) ranOver(s *socket) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return s.overrun
}

func (h *hub) leave(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()

	room := h.rooms[s.room]
	delete(room, s)
	if len(room) == 0 {
		delete(h.rooms, s.room)
	}
	h.open.Dec()
	h.gone.Done()
}

func (h *hub) revoke(user, credential uuid.UUID) {
	h.each(func(s *socket) { // of every room, because an administrator may sit in anybody's
		if s.caller.UserID == user && (credential == uuid.Nil || s.caller.Credential() == credential) {
			s.end(ending{closeUnauthenticated, "log in again"})
		}
	})
}

// stop ends every socket, and cuts those that have not gone when ctx ends.
func (h *hub) stop(ctx context.Context) {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.each(func(s *socket) { s.end(ending{closeGoingAway, "the server is stopping; resume elsewhere"}) })

	done := make(chan struct{})
	go func() {
		h.gone.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		h.each(func(s *socket) { cut(s.conn) })
	}
}

func (h *hub) stopping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// each visits the sockets; they cannot leave meanwhile.
func (h *hub) each(visit func(*socket)) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for _, room := range h.rooms {
		for s := range room {
			visit(s)
		}
	}
}
