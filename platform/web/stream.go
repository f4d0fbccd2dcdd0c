package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

// Pieces makes a long body bit by bit, while it is sent. One goroutine calls it,
// and Close is called exactly once, whatever happens.
type Pieces interface {
	// Next returns what comes next, good until the next call, and io.EOF after the
	// last. Any other error cuts the connection: the client must not take what it
	// has for the whole. ctx ends when nobody wants more.
	Next(ctx context.Context) ([]byte, error)
	Close()
}

// StreamOptions say what a stream is and how long it waits.
type StreamOptions struct {
	ContentType string
	Filename    string        // for saving it; no quotes in it. "" is to be read as it comes
	Patience    time.Duration // for the client to take one piece; 20 s when zero
	Endless     bool          // a client that hangs up is no news
	// Lease is asked at least every half second, so that what outlives its request does
	// not outlive its caller's right. A fault ends the stream; so does any other error
	// that lasts for 5 seconds. nil asks nobody.
	Lease   func(context.Context) error
	MaxTime time.Duration // in all; 0 is no bound
	// MinRate is how many bytes a second the client must take on average, of the time
	// that the stream waits for it; 0 is no bound. It counts after RateAfter.
	MinRate   int64
	RateAfter time.Duration
	Log       *slog.Logger // default: slog.Default()
}

// Stream is an answer of any size, in the memory of one piece. A body that is
// complete ends with its last chunk; one that is not ends without (RFC 9112
// section 8), so that it looks like what it is.
type Stream struct {
	Disposition string `header:"Content-Disposition"`
	Body        func(huma.Context)
}

const (
	streamPatience = 20 * time.Second
	streamGrace    = 3 * time.Second // to go on once the server stops
)

// Streamed answers with pieces. They have a context of their own: the request's
// deadline is for the handler, and has nothing to say about a download.
func Streamed(pieces Pieces, o StreamOptions) *Stream {
	if o.Patience == 0 {
		o.Patience = streamPatience
	}
	s := &Stream{Body: func(ctx huma.Context) { serveStream(ctx, pieces, o) }}
	if o.Filename != "" {
		s.Disposition = `attachment; filename="` + o.Filename + `"`
	}
	return s
}

// serveStream hands the stream to fasthttp, which reads it when the handlers have
// returned and closes it in the end. What it keeps of the request are values and the
// connection, which outlives the answer.
func serveStream(ctx huma.Context, pieces Pieces, o StreamOptions) {
	r, ours := ctx.(*request)
	if !ours {
		pieces.Close()
		panic("web: a stream outside of a route")
	}
	s := &stream{pieces: pieces, options: o, log: orDefault(o.Log), conn: r.c.Context().Conn()}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(r.c.UserContext()))
	stopping := r.c.Context().Done()
	s.watching.Go(func() { s.watch(stopping) })

	r.c.Set(fiber.HeaderContentType, o.ContentType)
	if o.Endless {
		// A proxy that gathers or compresses the answer would hold events back. nginx
		// buffers whatever does not say this.
		r.c.Set("X-Accel-Buffering", "no")
		r.c.Set(fiber.HeaderCacheControl, "no-store, no-transform")
	}
	r.c.Status(http.StatusOK)
	r.c.Context().SetBodyStream(s, -1)
}

// stream is read by the goroutine that serves the connection, and by no other.
type stream struct {
	pieces   Pieces
	options  StreamOptions
	log      *slog.Logger
	conn     net.Conn
	ctx      context.Context //nolint:containedctx // how long the stream lives, which no call of Read decides
	cancel   context.CancelCauseFunc
	watching sync.WaitGroup
	pace     pace
	deadline sync.Mutex // of the connection: once the stream is cut, nothing moves it

	piece  []byte // what is left to send of it
	begun  bool
	over   error // io.EOF, or why it ended before
	closed bool
}

var (
	errLeft     = errors.New("the client hung up, or took too long over a piece")
	errStopping = errors.New("the server is stopping")
)

// Read gives what is left of a piece, or of the next one.
func (s *stream) Read(into []byte) (int, error) {
	for len(s.piece) == 0 {
		if s.over == nil {
			s.begun = true
			s.piece, s.over = s.next()
		}
		if s.over != nil {
			s.piece = nil
			return 0, s.over
		}
	}
	n := copy(into, s.piece)
	s.piece = s.piece[n:]
	s.pace.sent.Add(int64(n))
	return n, nil
}

// next also starts the clock for sending the piece. fasthttp's own would be one
// for the whole body.
func (s *stream) next() (piece []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	s.pace.taken()
	piece, err = s.pieces.Next(s.ctx)
	s.deadline.Lock()
	defer s.deadline.Unlock()
	if cause := context.Cause(s.ctx); cause != nil && !errors.Is(err, io.EOF) {
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	s.pace.offered()
	return piece, s.conn.SetWriteDeadline(time.Now().Add(s.options.Patience))
}

// Close is called by fasthttp when the body has been sent, or cannot be. It may
// come without any Read, for a HEAD.
func (s *stream) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.begun && !s.options.Endless && !errors.Is(s.over, io.EOF) {
		why := cmp.Or(s.over, context.Cause(s.ctx), errLeft)
		s.log.WarnContext(s.ctx, "stream cut", "request_id", RequestIDFrom(s.ctx), "error", why.Error())
	}
	s.cancel(nil)
	s.watching.Wait()
	s.pieces.Close()
	return nil
}
