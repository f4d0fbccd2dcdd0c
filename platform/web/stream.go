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

// Chunks produces a long body in parts, while it is sent. One goroutine calls its methods. Close is
// called exactly once in every case.
type Chunks interface {
	// Next returns the next part, which is valid until the next call, and io.EOF after the last
	// one. Any other error cuts the connection, so that the client does not mistake a part for the
	// whole. The context ends when the stream ends.
	Next(ctx context.Context) ([]byte, error)
	// Close releases what the body holds, such as a connection to the database.
	Close()
}

// StreamOptions configure a stream and its time limits.
type StreamOptions struct {
	ContentType  string
	Filename     string        // name for saving it, without quotes; displayed inline when ""
	WriteTimeout time.Duration // maximum time for the client to accept one part; 20 s when zero
	Endless      bool          // the disconnection of a client is expected and not logged
	// Lease is called at least every half second, so that a stream does not outlive the permission
	// of its caller. A fault ends the stream, and so does any other error that lasts for 5 seconds.
	// It may be nil.
	Lease   func(context.Context) error
	MaxTime time.Duration // maximum duration; unlimited when 0
	// MinRate is the minimum average of bytes per second that the client accepts while the stream
	// waits for it; no minimum when 0. It applies after RateAfter.
	MinRate   int64
	RateAfter time.Duration
	Log       *slog.Logger // default: slog.Default()
}

// Stream is a response of any size that needs the memory of one part. A complete body ends with the
// last chunk, and an incomplete one without (RFC 9112 section 8), so that clients can distinguish
// them.
type Stream struct {
	Disposition string `header:"Content-Disposition"`
	Body        func(huma.Context)
}

const (
	streamPatience = 20 * time.Second
	streamGrace    = 3 * time.Second // to continue after the server began to stop
)

// NewStream responds with pieces. They have their own context, because the deadline of the request
// applies to the handler only.
func NewStream(pieces Chunks, o StreamOptions) *Stream {
	if o.WriteTimeout == 0 {
		o.WriteTimeout = streamPatience
	}
	s := &Stream{Body: func(ctx huma.Context) { serveStream(ctx, pieces, o) }}
	if o.Filename != "" {
		s.Disposition = `attachment; filename="` + o.Filename + `"`
	}
	return s
}

// serveStream passes the stream to fasthttp, which reads it after the handlers have returned and
// then closes it. It keeps only values of the request, and the connection, which outlives the
// response.
func serveStream(ctx huma.Context, pieces Chunks, o StreamOptions) {
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
		// Prevents a proxy from buffering or compressing events. nginx buffers every response
		// without this header.
		r.c.Set("X-Accel-Buffering", "no")
		r.c.Set(fiber.HeaderCacheControl, "no-store, no-transform")
	}
	r.c.Status(http.StatusOK)
	r.c.Context().SetBodyStream(s, -1)
}

// stream is read only by the goroutine that serves the connection.
type stream struct {
	pieces   Chunks
	options  StreamOptions
	log      *slog.Logger
	conn     net.Conn
	ctx      context.Context //nolint:containedctx // how long the stream lives, which no call of Read decides
	cancel   context.CancelCauseFunc
	watching sync.WaitGroup
	pace     pace
	deadline sync.Mutex // of the connection: not changed after the stream is cut

	piece  []byte // unsent rest
	begun  bool
	over   error // io.EOF, or the error that ended it early
	closed bool
}

var (
	errLeft     = errors.New("the client hung up, or took too long over a piece")
	errStopping = errors.New("the server is stopping")
)

// Read returns the rest of a part, or the beginning of the next one.
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

// next also starts the timeout for sending the part, because the timeout of fasthttp covers the
// whole body.
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
	return piece, s.conn.SetWriteDeadline(time.Now().Add(s.options.WriteTimeout))
}

// Close is called by fasthttp when the body has been sent or cannot be sent, for HEAD without a
// Read.
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
