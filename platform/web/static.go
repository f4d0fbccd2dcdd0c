package web

import (
	"sync"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// The levels for bodies that are compressed once.
const (
	staticGzipLevel   = fasthttp.CompressBestCompression
	staticBrotliLevel = 9
)

// StaticBody is a body that never changes. It is compressed in each coding at most once, at the
// first request for it, so that a document costs no CPU per request.
type StaticBody struct {
	plain        []byte
	gzip, brotli func() []byte
}

// NewStaticBody returns the body; it must not change afterwards.
func NewStaticBody(plain []byte) *StaticBody {
	return &StaticBody{
		plain:  plain,
		gzip:   sync.OnceValue(func() []byte { return fasthttp.AppendGzipBytesLevel(nil, plain, staticGzipLevel) }),
		brotli: sync.OnceValue(func() []byte { return fasthttp.AppendBrotliBytesLevel(nil, plain, staticBrotliLevel) }),
	}
}

// Send responds with the body in the coding that the client prefers, within the Compress middleware.
// Without it, and below the minimum size, the body is not compressed, nor if Content-Encoding is set: then
// the body has that coding already. Set Content-Type and ETag before.
func (b *StaticBody) Send(c *fiber.Ctx) error {
	if len(c.Response().Header.Peek(fiber.HeaderContentEncoding)) > 0 {
		return c.Send(b.plain)
	}
	if enabled, _ := c.Locals(compressionKey).(bool); !enabled || len(b.plain) < compressMin {
		return c.Send(b.plain)
	}
	c.Vary(fiber.HeaderAcceptEncoding)
	switch coding := acceptEncoding(c).prefer(codingBrotli, codingGzip); coding { // brotli is smaller
	case codingBrotli:
		setCoding(c, coding)
		return c.Send(b.brotli())
	case codingGzip:
		setCoding(c, coding)
		return c.Send(b.gzip())
	}
	return c.Send(b.plain)
}
