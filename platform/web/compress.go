package web

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// compressMin is the size in bytes from which responses are compressed. A smaller response fits into
// one packet in any case.
const compressMin = 1 << 10

// Levels for responses that are compressed for each request. A higher level of gzip costs several
// times the CPU and saves some percent.
const (
	gzipLevel   = fasthttp.CompressBestSpeed
	brotliLevel = 2
)

const (
	codingGzip   = "gzip"
	codingBrotli = "br"
)

// Compress compresses responses for clients that accept it (SPEC E21): JSON, text and exports of at
// least 1 KiB, but no event stream and no response with Cache-Control: no-transform. Place it inside
// the middleware that sets headers and outside all that respond.
//
// Only responses to GET, and of bulk routes, are compressed. All others may contain a secret, such as
// a token, beside something that the request determines, and their size would then tell about the
// secret (BREACH). A GET that returns a secret calls Uncompressed.
//
// The entity tag of a compressed response has a suffix ("7-gzip"), because strong tags differ between
// codings (RFC 9110 section 8.8.3). Handlers see If-Match and If-None-Match without it. A request
// without the suffix, as a client makes it from the version of a resource, works as well.
//
// Fiber's compress middleware is not used, because it compresses event streams, ends a broken stream
// like a complete one, and changes no entity tags.
func Compress() fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Locals(compressionKey, true)
		restore := stripCodings(c)
		err := c.Next()
		if err != nil {
			return err
		}
		restore()
		if !compressible(c) {
			return nil
		}
		c.Vary(fiber.HeaderAcceptEncoding)
		compress(c)
		return nil
	}
}

type compressionKeys int

const (
	compressionKey compressionKeys = iota // true within Compress
	compressKey                           // a bool that decides instead of the method
)

// Uncompressed prevents the compression of the response to a GET, because it contains a secret.
func Uncompressed(c *fiber.Ctx) { c.Locals(compressKey, false) }

func compressible(c *fiber.Ctx) bool {
	wanted, decided := c.Locals(compressKey).(bool)
	if !decided {
		wanted = c.Method() == http.MethodGet || c.Method() == http.MethodHead
	}
	res := c.Response()
	h := &res.Header
	if !wanted || len(h.Peek(fiber.HeaderContentEncoding)) > 0 || !isText(string(h.ContentType())) ||
		bytes.Contains(h.Peek(fiber.HeaderCacheControl), []byte("no-transform")) {
		return false
	}
	if res.IsBodyStream() {
		s, ours := res.BodyStream().(*stream)
		return ours && !s.options.Endless
	}
	return len(res.Body()) >= compressMin
}

// isText reports whether compression pays for the media type.
func isText(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	switch media = strings.TrimSpace(media); media {
	case "application/json", problemType, "application/schema+json", "application/x-ndjson", "image/svg+xml", "text/javascript":
		return true
	case "text/event-stream":
		return false
	}
	return strings.HasPrefix(media, "text/")
}

func compress(c *fiber.Ctx) {
	accept := acceptEncoding(c)
	res := c.Response()
	coding := accept.prefer(codingGzip, codingBrotli) // gzip costs less
	if s, isStream := res.BodyStream().(*stream); isStream {
		if coding = accept.prefer(codingGzip); coding != "" {
			s.pieces = gzipChunks(s.pieces)
		}
	} else {
		switch coding {
		case codingGzip:
			res.SetBodyRaw(fasthttp.AppendGzipBytesLevel(nil, res.Body(), gzipLevel))
		case codingBrotli:
			res.SetBodyRaw(fasthttp.AppendBrotliBytesLevel(nil, res.Body(), brotliLevel))
		}
	}
	if coding != "" {
		setCoding(c, coding)
	}
}

// setCoding sets the headers of a response in a coding.
func setCoding(c *fiber.Ctx, coding string) {
	c.Set(fiber.HeaderContentEncoding, coding)
	if etag := string(c.Response().Header.Peek(fiber.HeaderETag)); strings.HasSuffix(etag, `"`) {
		c.Set(fiber.HeaderETag, withCoding(etag, coding))
	}
}

func withCoding(etag, coding string) string { return etag[:len(etag)-1] + "-" + coding + `"` }

// stripCodings removes the suffixes of codings from the tags in the conditions of the request. The
// returned function gives the tag of a 304 the suffix that the client sent.
func stripCodings(c *fiber.Ctx) (restore func()) {
	conditions := c.Get(fiber.HeaderIfNoneMatch)
	for _, name := range []string{fiber.HeaderIfNoneMatch, fiber.HeaderIfMatch} {
		for _, line := range c.Request().Header.PeekAll(name) {
			if plain := withoutCodings.Replace(string(line)); plain != string(line) && len(c.Request().Header.PeekAll(name)) == 1 {
				c.Request().Header.Set(name, plain)
			}
		}
	}
	return func() {
		etag := string(c.Response().Header.Peek(fiber.HeaderETag))
		if c.Response().StatusCode() != http.StatusNotModified || etag == "" {
			return
		}
		for _, coding := range []string{codingGzip, codingBrotli} {
			if tagged := withCoding(etag, coding); strings.Contains(conditions, tagged) {
				c.Set(fiber.HeaderETag, tagged)
				c.Vary(fiber.HeaderAcceptEncoding)
				return
			}
		}
	}
}

var withoutCodings = strings.NewReplacer("-"+codingGzip+`"`, `"`, "-"+codingBrotli+`"`, `"`)
