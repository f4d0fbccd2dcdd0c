package notifications

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gofiber/contrib/websocket"
	"github.com/google/uuid"

	"orderflow/platform/events"
	"orderflow/platform/identity"
)

// limits of a socket (SPEC E6).
type limits struct {
	pingEvery   time.Duration
	deadAfter   time.Duration // without a pong or anything else
	writeWithin time.Duration
	closeWithin time.Duration // for the peer to answer, and for a stuck write once we want to close
	readWithin  time.Duration // one page of the log
	read        int64         // bytes of one message
	queue       int           // frames
	page        int           // events
	patience    time.Duration // without a finished write, before a full queue means a slow reader
	behind      time.Duration // for getting back to the present, once the queue ran over
}

var usual = limits{
	pingEvery: 25 * time.Second, deadAfter: 55 * time.Second,
	writeWithin: 10 * time.Second, closeWithin: time.Second, readWithin: 5 * time.Second,
	read: 4 << 10, queue: 256, page: 500, patience: 2 * time.Second, behind: 20 * time.Second,
}

// Close codes. Those of 4400 and above are ours.
const (
	closeGoingAway       = websocket.CloseGoingAway // 1001
	closeInternal        = websocket.CloseInternalServerErr
	closeUnauthenticated = 4401 // the session ended or changed
	closeSlow            = 4408 // does not read fast enough; resume from the last cursor
)

// ending is why a socket is closed; the first reason wins. Code 0 tells the peer nothing.
type ending struct {
	code   int
	reason string
}

func (e ending) Error() string { return strconv.Itoa(e.code) + " " + e.reason }

var (
	hungUp = ending{0, "the peer is gone"}
	slow   = ending{closeSlow, "too slow; resume from the last cursor"}
	broken = ending{closeInternal, "resume from the last cursor"}
)

// socket is one connection. The goroutine that runs its handler is the only one
// that writes events to it; a second one reads, to notice pongs and the end.
type socket struct {
	hub    *hub
	log    *events.Log
	out    *slog.Logger
	keep   time.Duration
	limits *limits
	caller identity.Caller
	stands func(context.Context, uuid.UUID) (identity.Caller, error)
	room   uuid.UUID     // whose events; uuid.Nil is everybody's
	types  []string      // empty is all
	resume bool          // the client gave a cursor
	at     events.Cursor // everything up to here has been written
	pinged time.Time

	conn   *websocket.Conn
	cancel context.CancelCauseFunc
	queue  *queue

	moved atomic.Int64 // when a write last succeeded, Unix ns

	// Guarded by hub.mu.
	live    bool      // has caught up at least once
	overrun bool      // the queue ran over: what is missing is in the log
	since   time.Time // when a live socket fell behind; zero while it keeps up
}

// run serves the connection until it ends. The library puts pooled away for the
// next connection afterwards, and does so on a panic too, so nothing here keeps it:
// conn is a wrapper of our own, and run waits for the goroutine that reads.
func (s *socket) run(pooled *websocket.Conn) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	s.conn, s.cancel, s.pinged = &websocket.Conn{Conn: pooled.Conn}, cancel, time.Now()

	gone := make(chan struct{})
	go s.read(gone)
	to, err := s.hub.join(s)
	if err != nil {
		s.end(ending{closeGoingAway, err.Error()})
		s.close(ctx, gone)
		return
	}
	defer s.hub.leave(s) // last: who waits for the hub waits for the close frames too
	defer s.close(ctx, gone)
	defer s.recover()

	if err := s.serve(ctx, to); ctx.Err() == nil {
		s.out.WarnContext(ctx, "socket failed", "error", err, "user_id", s.caller.UserID)
		s.end(broken)
	}
}

func (s *socket) recover() {
	if p := recover(); p != nil {
		s.out.Error("socket panicked", "reason", fmt.Sprint(p), "stack", string(debug.Stack()))
		s.end(broken)
	}
}

// end asks the socket to close; it never blocks. A write that is stuck is cut
// short, except a slow reader's: it may still get to the close frame.
func (s *socket) end(why ending) {
	s.cancel(why)
	if why != slow {
		_ = s.conn.NetConn().SetWriteDeadline(time.Now().Add(s.limits.closeWithin))
	}
}

// offer queues a frame. The caller holds hub.mu. When the queue runs over, the
// socket goes on from the log: a burst of events says nothing about its reader. One
// whose writes do not end, or who stays behind, is slow (SPEC E6).
func (s *socket) offer(f *frame) {
	if !s.wants(f.kind) {
		return
	}
	if !s.overrun && s.queue.put(f) {
		s.hub.sent.Inc()
		return
	}
	s.overrun = true
	if !s.live {
		return // it has never caught up, and may take its time
	}
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
	}
	stuck := min(now.Sub(time.Unix(0, s.moved.Load())), s.queue.waiting())
	if stuck > s.limits.patience || now.Sub(s.since) > s.limits.behind {
		s.end(slow)
	}
}

func (s *socket) wants(kind string) bool {
	return len(s.types) == 0 || slices.Contains(s.types, kind)
}

// read drops whatever the client says, and ends the socket when it is gone.
func (s *socket) read(gone chan<- struct{}) {
	defer close(gone)

	alive := func() { _ = s.conn.SetReadDeadline(time.Now().Add(s.limits.deadAfter)) }
	s.conn.SetReadLimit(s.limits.read)
	s.conn.SetPongHandler(func(string) error { alive(); return nil })
	pong := s.conn.PingHandler()
	s.conn.SetPingHandler(func(data string) error { alive(); return pong(data) })

	var err error
	for err == nil {
		alive()
		err = s.skip()
	}
	s.end(hungUp)

	// A message that is too long or no WebSocket frame has been answered by the
	// library with a close frame, and the peer may still be sending. To cut the
	// connection over unread bytes would take that frame away from it.
	var network net.Error
	if !errors.As(err, &network) && !websocket.IsUnexpectedCloseError(err) {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.limits.closeWithin))
		_, _ = io.CopyN(io.Discard, s.conn.NetConn(), 1<<20)
	}
}

// skip reads a whole message: the library counts fragments against the limit only
// while they are read.
func (s *socket) skip() error {
	_, message, err := s.conn.NextReader()
	if err == nil {
		_, err = io.Copy(io.Discard, message)
	}
	return err
}

// close says why, gives the peer a moment to answer, cuts the connection, and
// waits for the reader.
func (s *socket) close(ctx context.Context, gone <-chan struct{}) {
	why := hungUp
	errors.As(context.Cause(ctx), &why)
	heard := true
	if why.code != 0 {
		s.hub.ends.WithLabelValues(strconv.Itoa(why.code)).Inc()
		text := websocket.FormatCloseMessage(why.code, why.reason)
		heard = s.conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(s.limits.closeWithin)) == nil
	}
	if heard {
		select {
		case <-gone:
		case <-time.After(s.limits.closeWithin):
		}
	}
	cut(s.conn)
	<-gone
}

// cut ends the connection at once. Close would do nothing: fasthttp closes a
// connection that it gave away only when the handler has returned, and the handler
// waits for the reader, who waits for the connection.
func cut(conn *websocket.Conn) {
	under := conn.NetConn()
	if c, ok := under.(interface{ UnsafeConn() net.Conn }); ok {
		under = c.UnsafeConn()
	}
	_ = under.Close()
}
