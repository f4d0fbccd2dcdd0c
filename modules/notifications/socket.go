package notifications

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gofiber/contrib/websocket"
)

// socket is one connection. The goroutine that runs its handler reads, to notice
// pongs and the end. One that writes exists only while there is something to write:
// most sockets are idle most of the time, and a goroutine is what costs most.
type socket struct {
	*subscriber
	slot *slot // of the account, given back when the connection has ended
	// forget drops what the handshake said: the server would keep it as long as the
	// socket, and it is half of what an idle one takes.
	forget func()

	conn   *websocket.Conn
	pinged time.Time     // of whoever writes
	alarm  *time.Timer   // when a ping is due
	gone   chan struct{} // closed when nothing will be read any more
	closed chan struct{} // closed when nothing will be written any more
}

// run serves the connection until it ends. The libraries put what they have of it
// away for the next connection afterwards, and do so on a panic too, so nothing here
// keeps it: run waits for whoever writes.
func (s *socket) run(pooled *websocket.Conn) {
	s.slot.keep()
	defer s.slot.release()

	s.conn = &websocket.Conn{Conn: pooled.Conn}
	*pooled = websocket.Conn{Conn: pooled.Conn} // without its copies of headers and cookies
	s.forget()

	s.gone, s.closed = make(chan struct{}), make(chan struct{})
	s.pinged = time.Now()
	s.alarm = time.AfterFunc(s.limits.pingEvery, s.queue.remind)
	s.queue.wake = func() { go s.write() }
	s.onEnd = func(why closeReason) {
		// A write that is stuck is cut short, except a slow reader's: it may still get to
		// the close frame.
		if why != slow {
			_ = s.conn.NetConn().SetWriteDeadline(time.Now().Add(s.limits.closeWithin))
		}
		go s.close()
	}
	s.cut = func() { cut(s.conn) }

	if err := s.hub.join(s.subscriber); err != nil {
		s.queue.giveUp()
		s.end(stopping)
	} else {
		defer s.hub.leave(s.subscriber) // last: who waits for the hub waits for the close frames too
		go s.write()
	}
	s.read()
	<-s.closed
}

// write writes until there is nothing to write.
func (s *socket) write() {
	defer func() {
		if p := recover(); p != nil {
			s.out.Error("socket panicked", "reason", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.queue.giveUp()
			s.end(broken)
		}
	}()
	for {
		frames, err := s.next()
		if err == nil && len(frames) == 0 {
			return
		}
		for _, f := range frames {
			if err == nil {
				err = s.send(f)
			}
		}
		if err != nil {
			s.queue.giveUp()
			if s.ctx.Err() == nil {
				s.out.Warn("socket failed", "error", err, "user_id", s.caller.UserID)
				s.end(broken)
			}
			return
		}
	}
}

// send writes one message, and a ping before it when one is due: catching up may
// take longer than a peer counts as alive. Its errors end the socket.
func (s *socket) send(f *frame) error {
	if s.ctx.Err() != nil {
		return s.why()
	}
	now := time.Now()
	if f == ping || now.Sub(s.pinged) >= s.limits.pingEvery {
		s.pinged = now
		s.alarm.Reset(s.limits.pingEvery)
		if err := s.conn.WriteControl(websocket.PingMessage, nil, now.Add(s.limits.writeWithin)); err != nil {
			return s.unwritable(err)
		}
	}
	if f == ping {
		return nil
	}
	if err := s.conn.SetWriteDeadline(now.Add(s.limits.writeWithin)); err != nil {
		return s.unwritable(err)
	}
	if err := s.conn.WriteMessage(websocket.TextMessage, f.text); err != nil {
		return s.unwritable(err)
	}
	s.moved.Store(time.Now().UnixNano())
	return nil
}

// unwritable ends the socket over a failed write: a peer that takes nothing for
// that long is slow, any other is gone.
func (s *socket) unwritable(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		s.end(slow)
	} else {
		s.end(hungUp)
	}
	return s.why()
}

// read drops whatever the client says, and ends the socket when it is gone.
func (s *socket) read() {
	defer close(s.gone)

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

// close waits for whoever writes, says why, gives the peer a moment to answer, and
// cuts the connection.
func (s *socket) close() {
	defer close(s.closed)
	defer recovered(s.out, "socket")
	defer cut(s.conn)

	s.alarm.Stop()
	<-s.queue.close()
	why, heard := s.why(), true
	if why.code != 0 {
		s.hub.ends.WithLabelValues(strconv.Itoa(why.code)).Inc()
		text := websocket.FormatCloseMessage(why.code, why.reason)
		heard = s.conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(s.limits.closeWithin)) == nil
	}
	if heard {
		select {
		case <-s.gone:
		case <-time.After(s.limits.closeWithin):
		}
	}
}

// cut ends the connection at once. Close would do nothing: fasthttp closes a
// connection that it gave away only when the handler has returned, and the handler
// reads until the connection ends.
func cut(conn *websocket.Conn) {
	under := conn.NetConn()
	if c, ok := under.(interface{ UnsafeConn() net.Conn }); ok {
		under = c.UnsafeConn()
	}
	_ = under.Close()
}

func recovered(out *slog.Logger, where string) {
	if p := recover(); p != nil {
		out.Error("panic", "where", where, "reason", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}
