package web

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// firstBytes is the initial size of the buffer of a body. The buffer doubles as the body arrives
// and is never larger than four times the received bytes. An announced length only limits it.
const firstBytes = 4 << 10

// freeBytes of each body are not counted, so that small requests never wait for large ones.
const freeBytes = 16 << 10

type incomingKey struct{}

// incoming is the body of a request that is still on its connection. fasthttp provides the stream
// and discards the unread rest afterwards, so that no byte of a body is taken for the next request.
// Only the methods below may read it: Fiber and fasthttp would read all of it into memory, and they
// see an empty body instead.
//
// The read deadline of the connection, set when the request began, limits every read.
type incoming struct {
	stream io.Reader
	length int // as announced; -1 for chunks
	most   int // maximum number of bytes that are read, stored or not

	budget *budget
	caller string // key of the budget; known at the first read
	held   int    // bytes taken from the budget

	buf    []byte
	seen   int  // bytes read from the stream
	ended  bool // the whole body has been read
	broken error
}

// receive detaches the body from a request before any handler runs. It returns nil if there is
// none.
func receive(ctx *fasthttp.RequestCtx, most int, b *budget) *incoming {
	stream := ctx.RequestBodyStream()
	if stream == nil || ctx.Request.Header.ContentLength() == 0 {
		return nil
	}
	in := &incoming{stream: stream, length: max(ctx.Request.Header.ContentLength(), -1), most: most, budget: b}
	ctx.Request.SetBodyRaw([]byte{})
	ctx.SetUserValue(incomingKey{}, in)
	return in
}

func incomingOf(c *fiber.Ctx) *incoming {
	in, _ := c.Context().UserValue(incomingKey{}).(*incoming)
	return in
}

// hasBody reports whether a request has a body. It reads the first bytes if the header does not say
// so.
func hasBody(c *fiber.Ctx) (bool, error) {
	in := incomingOf(c)
	if in == nil {
		return len(c.Request().Body()) > 0, nil
	}
	if in.length > 0 || len(in.buf) > 0 {
		return true, nil
	}
	in.buf = make([]byte, 0, firstBytes)
	err := in.readSome()
	return len(in.buf) > 0, err
}

// readBody reads a body of at most limit bytes into memory, and counts it against the caller's
// budget. From then on c.Request().Body() returns it, until the handlers have returned. Its errors
// are faults with the status 400, 408, 413, 429 or 503.
func readBody(c *fiber.Ctx, limit int) ([]byte, error) {
	in := incomingOf(c)
	if in == nil {
		raw := c.Request().Body()
		if len(raw) > limit {
			return nil, tooLarge(limit)
		}
		return raw, nil
	}
	if in.length > limit {
		return nil, tooLarge(limit)
	}
	in.caller = CallerKey(c)
	for !in.ended {
		if len(in.buf) > limit {
			return nil, tooLarge(limit)
		}
		if err := in.grow(c.UserContext(), limit+1); err != nil {
			return nil, err
		}
		if err := in.readSome(); err != nil {
			return nil, err
		}
	}
	if len(in.buf) > limit {
		return nil, tooLarge(limit)
	}
	c.Request().SetBodyRaw(in.buf)
	return in.buf, nil
}

// dropBody reads a body and discards it.
func dropBody(c *fiber.Ctx, limit int) error {
	in := incomingOf(c)
	if in == nil {
		if len(c.Request().Body()) > limit {
			return tooLarge(limit)
		}
		return nil
	}
	if in.length > limit {
		return tooLarge(limit)
	}
	if err := in.skip(limit); err != nil {
		return err
	}
	if !in.ended {
		return tooLarge(limit)
	}
	return nil
}

func tooLarge(limit int) error {
	return fault.New(fault.KindTooLarge, "too-large", "The body is larger than the %d bytes that this route takes.", limit)
}

// grow provides space for at least one more byte.
func (in *incoming) grow(ctx context.Context, most int) error {
	size := cap(in.buf)
	if len(in.buf) < size {
		return nil
	}
	next := max(2*size, firstBytes)
	if in.length >= 0 && next >= in.length/2 {
		next = in.length // a quarter has arrived: avoid the last copies
	}
	next = min(next, most)
	if next > freeBytes {
		if err := in.budget.take(ctx, in.caller, next-in.held); err != nil {
			return err
		}
		in.held = next
	}
	grown := make([]byte, len(in.buf), next)
	copy(grown, in.buf)
	in.buf = grown
	return nil
}

// readSome reads what has arrived into the free space.
func (in *incoming) readSome() error {
	n, err := in.read(in.buf[len(in.buf):cap(in.buf)])
	in.buf = in.buf[:len(in.buf)+n]
	return err
}

func (in *incoming) read(into []byte) (int, error) {
	if in.broken != nil || in.ended {
		return 0, in.broken
	}
	n, err := in.stream.Read(into)
	in.seen += n
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && (in.length < 0 || in.seen == in.length):
		in.ended = true
	default:
		in.broken = brokenBody(err)
	}
	if in.seen == in.length {
		in.ended = true
	}
	return n, in.broken
}

// skip reads until the given number of bytes has been seen, or the body has ended.
func (in *incoming) skip(most int) error {
	into := in.buf[:cap(in.buf)]
	if len(into) == 0 {
		into = make([]byte, firstBytes)
	}
	for !in.ended && in.seen <= most {
		if _, err := in.read(into); err != nil {
			return err
		}
	}
	return nil
}

// brokenBody converts an error of reading a body, with the texts of Fiber for errors of fasthttp.
func brokenBody(err error) error {
	// fasthttp hides some timeouts in a text, which Fiber recognizes too.
	timeout, is := errors.AsType[net.Error](err)
	if is && timeout.Timeout() || strings.Contains(err.Error(), "timeout") {
		return fiber.ErrRequestTimeout
	}
	return fiber.NewError(fiber.StatusBadRequest, err.Error())
}

// finish is called when the handlers have returned. If the connection continues, fasthttp discards
// a small rest of the body after the response. Otherwise finish discards, before the response, as
// much as would have been read, because a client that is disconnected while it sends may see a
// reset instead of the response. The connection is closed if anything is left.
func (in *incoming) finish(ctx *fasthttp.RequestCtx) {
	in.buf = nil
	in.budget.give(in.caller, in.held)
	in.held = 0

	const dropsItself = 256 << 10 // fasthttp's maxUnreadStreamBodySize
	closes := ctx.Request.Header.ConnectionClose() || ctx.Response.ConnectionClose()
	if !in.ended && (closes || in.length < 0 || in.length-in.seen > dropsItself) {
		_ = in.skip(in.most)
	}
	if in.broken != nil || in.length < 0 && !in.ended {
		ctx.SetConnectionClose()
	}
}
