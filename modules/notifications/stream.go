package notifications

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/gofiber/contrib/websocket"

	"orderflow/platform/events"
	"orderflow/platform/fault"
	"orderflow/platform/web"
)

// serve writes what was missed and then what happens, until ctx ends or the log
// cannot be read.
func (s *socket) serve(ctx context.Context, to events.Cursor) error {
	if err := s.stillStands(ctx); err != nil {
		return err
	}
	if err := s.start(ctx, to); err != nil {
		return err
	}
	for {
		if err := s.catchUp(ctx, to); err != nil {
			return err
		}
		place, live := s.hub.caughtUp(s)
		if !live {
			to = place
			continue
		}
		if err := s.follow(ctx); err != nil {
			return err
		}
	}
}

// stillStands asks again for the session or key: it may have ended between the handshake
// and joining, when nobody could tell this socket. From here on the hub does.
func (s *socket) stillStands(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.limits.readWithin)
	defer cancel()

	now, err := s.stands(limited, s.caller.Credential())
	if f, ok := fault.As(err); ok && f.Kind == fault.Unauthenticated || err == nil && now.Role != s.caller.Role {
		s.end(ending{closeUnauthenticated, "log in again"})
		return context.Cause(ctx)
	}
	return err
}

// start says where the stream begins: at the client's cursor, or else here.
func (s *socket) start(ctx context.Context, to events.Cursor) error {
	first := control{Type: "ready"}
	if s.resume {
		limited, cancel := context.WithTimeout(ctx, s.limits.readWithin)
		defer cancel()

		gone, err := s.log.Gone(limited, s.at, s.room, s.keep)
		if err != nil {
			return err
		}
		if gone {
			first.Type, s.resume = "reset", false
		}
	}
	if !s.resume {
		s.at = to
	}
	first.Cursor = s.at.String()
	text, err := web.Marshal(first)
	if err != nil {
		return err
	}
	return s.send(ctx, text)
}

// catchUp writes the events behind s.at up to and including the place to.
// Those beyond are in the queue.
func (s *socket) catchUp(ctx context.Context, to events.Cursor) error {
	for s.at.Before(to) {
		page, err := s.page(ctx)
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			if to.Before(e.Cursor) {
				return nil
			}
			if s.wants(e.Type) {
				if err := s.send(ctx, frameOf(e, s.out).text); err != nil {
					return err
				}
			}
			s.at = e.Cursor
		}
		if !page.Full {
			return nil
		}
	}
	return nil
}

func (s *socket) page(ctx context.Context) (events.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.readWithin)
	defer cancel()
	return s.log.After(ctx, s.at, s.room, s.limits.page)
}

// follow writes what comes into the queue, until the queue has run over.
func (s *socket) follow(ctx context.Context) error {
	ping := time.NewTicker(s.limits.pingEvery)
	defer ping.Stop()

	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ping.C:
			if err := s.ping(ctx); err != nil {
				return err
			}
		case <-s.queue.bell:
			for _, f := range s.queue.take() {
				if !s.at.Before(f.cursor) {
					continue // caught up with already
				}
				if err := s.send(ctx, f.text); err != nil {
					return err
				}
				s.at = f.cursor
			}
			if s.hub.ranOver(s) {
				return nil
			}
		}
	}
}

// send writes one message, and a ping before it when one is due: catching up may
// take longer than a peer counts as alive. Its errors end the socket.
func (s *socket) send(ctx context.Context, text []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := time.Now()
	if now.Sub(s.pinged) >= s.limits.pingEvery {
		if err := s.ping(ctx); err != nil {
			return err
		}
	}
	if err := s.conn.SetWriteDeadline(now.Add(s.limits.writeWithin)); err != nil {
		return s.unwritable(ctx, err)
	}
	if err := s.conn.WriteMessage(websocket.TextMessage, text); err != nil {
		return s.unwritable(ctx, err)
	}
	s.moved.Store(time.Now().UnixNano())
	return nil
}

func (s *socket) ping(ctx context.Context) error {
	s.pinged = time.Now()
	if err := s.conn.WriteControl(websocket.PingMessage, nil, s.pinged.Add(s.limits.writeWithin)); err != nil {
		return s.unwritable(ctx, err)
	}
	return nil
}

// unwritable ends the socket over a failed write: a peer that takes nothing for
// that long is slow, any other is gone.
func (s *socket) unwritable(ctx context.Context, err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		s.end(slow)
	} else {
		s.end(hungUp)
	}
	return context.Cause(ctx)
}
