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

// socket is one connection. The goroutine of its handler reads, to receive pongs and the close
// frame. A writing goroutine exists only while there are frames to write, because most sockets
// are idle and goroutines are the largest part of their memory.
type socket struct {
	*subscriber
	slot *slot // of the account, released when the connection has ended
	// forget drops the headers of the handshake. The server would keep them as long as the
	// socket, and they are half of the memory of an idle one.
	forget func()

	conn   *websocket.Conn
	pinged time.Time     // used by the writing goroutine
	alarm  *time.Timer   // fires when a ping is due
	gone   chan struct{} // closed when reading has ended
	closed chan struct{} // closed when writing has ended
}

// run serves the connection until it ends. Afterwards, also after a panic, the libraries reuse
// its memory for the next connection, so run waits for the writing goroutine.
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
		// Interrupts a write that is stuck, except for a slow reader, which may still receive the
		// close frame.
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
		defer s.hub.leave(s.subscriber) // last, so that waiting for the hub includes the close frames
		go s.write()
	}
	s.read()
	<-s.closed
}

// write writes until the queue is empty.
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

// send writes one message, and before it a ping if one is due, because catching up may take
// longer than the ping timeout. Its errors end the socket.
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

// unwritable ends the socket after a failed write: after a timeout the peer is slow, otherwise
// it has disconnected.
func (s *socket) unwritable(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		s.end(slow)
	} else {
		s.end(hungUp)
	}
	return s.why()
}

// read discards all messages of the client, and ends the socket when the client disconnects.
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

	// The library has answered a message that is too long or malformed with a close frame, and
	// the peer may still be sending. Closing the connection with unread bytes would reset it
	// before the peer receives that frame.
	var network net.Error
	if !errors.As(err, &network) && !websocket.IsUnexpectedCloseError(err) {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.limits.closeWithin))
		_, _ = io.CopyN(io.Discard, s.conn.NetConn(), 1<<20)
	}
}

// skip reads a whole message, because the library counts fragments against the limit only while
// they are read.
func (s *socket) skip() error {
	_, message, err := s.conn.NextReader()
	if err == nil {
		_, err = io.Copy(io.Discard, message)
	}
	return err
}

// close waits for the writing goroutine, sends the close frame, waits briefly for the response,
// and cuts the connection.
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

// cut ends the connection immediately. Close would have no effect: fasthttp closes a hijacked
// connection only when the handler has returned, and the handler reads until the connection
// ends.
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
