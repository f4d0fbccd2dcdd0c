package notifications

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/orderflow-dev/orderflow/internal/wakeup"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// The interval of keep-alive comments, so that proxies do not close an idle stream and that the
// server notices a disconnected client.
const streamPing = 15 * time.Second

// stream is a subscriber whose frames are written as Server-Sent Events.
type stream struct {
	*subscriber
	slot *slot // of the account, released by Close
	// resumption follows the cursor in each id, so that an EventSource, which repeats the URL with a
	// used ticket, can authenticate when it reconnects (SPEC E20). Empty without a ticket.
	resumption string
	bell       wakeup.Signal // sent when a frame is queued or the stream ends
	joined     bool
	closed     bool // the reason for the end has been written
	text       bytes.Buffer
}

func (m *Module) newStream(caller identity.Caller, f filter) *stream {
	s := &stream{subscriber: m.newSubscriber(caller, f), bell: wakeup.New()}
	s.queue.wake = s.bell.Send
	s.onEnd = func(closeReason) { s.bell.Send() }
	return s
}

// Next waits for frames. The last piece has the reason for the end.
func (s *stream) Next(ctx context.Context) ([]byte, error) {
	defer s.moved.Store(time.Now().UnixNano()) // the previous piece has been written
	if s.closed {
		return nil, io.EOF
	}
	if !s.joined {
		if err := s.hub.join(s.subscriber); err != nil {
			return nil, err
		}
		s.joined = true
		s.text.WriteString("retry: " + strconv.Itoa(1000+rand.IntN(4000)) + "\n") //nolint:gosec // jitter, not a secret
	}
	patience := time.NewTimer(min(streamPing, s.limits.pingEvery))
	defer patience.Stop()
	for {
		frames, err := s.next()
		switch {
		case s.ctx.Err() != nil:
			s.closed = true
			return s.goodbye(), nil
		case err != nil:
			return nil, err
		case len(frames) > 0:
			return s.render(frames), nil
		}
		select {
		case <-s.bell:
		case <-patience.C:
			return s.render(s.idle()), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// render writes frames in the event stream format of the HTML standard. JSON has no
// line breaks.
func (s *stream) render(frames []*frame) []byte {
	for _, f := range frames {
		switch {
		case f == ping:
			s.text.WriteString(": ping\n\n")
			continue
		case f.cursor.Epoch != "":
			fmt.Fprintf(&s.text, "id: %s%s\n", f.cursor, s.resumption)
		default:
			if f.kind != kindUnread {
				fmt.Fprintf(&s.text, "id: %s%s\n", s.at, s.resumption)
			}
			fmt.Fprintf(&s.text, "event: %s\n", f.kind)
		}
		s.text.WriteString("data: ")
		s.text.Write(f.text)
		s.text.WriteString("\n\n")
	}
	return s.piece()
}

func (s *stream) goodbye() []byte {
	why := s.why()
	if why.code != 0 {
		s.hub.ends.WithLabelValues(strconv.Itoa(why.code)).Inc()
	}
	fmt.Fprintf(&s.text, "event: %s\ndata: {\"code\":%d,\"reason\":%q}\n\n", kindClose, why.code, why.reason)
	return s.piece()
}

// piece returns the text since the last piece.
func (s *stream) piece() []byte {
	piece := bytes.Clone(s.text.Bytes())
	s.text.Reset()
	return piece
}

// Close is called when the stream has ended for any reason.
func (s *stream) Close() {
	defer s.slot.release()
	s.end(hungUp)
	if s.joined {
		s.hub.leave(s.subscriber)
	}
}
