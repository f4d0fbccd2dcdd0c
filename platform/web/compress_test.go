package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC E21: the coding that the client prefers, by RFC 9110 section 12.5.3.
func TestAcceptEncoding_E21(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "", "gzip": "gzip", "GZIP": "gzip", "x-gzip": "gzip", "br": "br", "gzip, deflate, br, zstd": "gzip", "br, gzip": "gzip",
		"br;q=1.0, gzip;q=0.8": "br", "gzip;q=0.2,br;q=0.1": "gzip", "gzip;q=0": "", "gzip;q=0, br": "br", "gzip; q=0.000": "",
		"*": "gzip", "*;q=0": "", "*;q=0.5, gzip;q=0": "br", "identity": "", "identity, gzip": "gzip", "identity;q=0, *": "gzip",
		"gzip;q=0.5, identity": "", "gzip;q=0.5, identity;q=0.5": "gzip", "deflate": "", "zstd": "", "gzip;q=2": "", "gzip;q=-1": "",
		"gzip;q=x": "", "gzip;x=1": "", ";q=1": "", ",,gzip,": "gzip", "gzipped": "", "br ; Q=0.3": "br",
	} {
		app := fiber.New()
		app.Get("/", func(c *fiber.Ctx) error { return c.SendString(acceptEncoding(c).prefer(codingGzip, codingBrotli)) })
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://test/", http.NoBody)
		req.Header.Set("Accept-Encoding", header)
		res, err := app.Test(req)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(res.Body); string(got) != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
		_ = res.Body.Close()
	}
}

type prose struct {
	Words string `json:"prose"`
}

type wordsOutput struct {
	ETag string `header:"ETag"`
	Body prose
}

// compressing has one route for each kind of response.
func compressing(t *testing.T, with ...fiber.Handler) (app *fiber.App) {
	t.Helper()
	app = fiber.New(Config())
	app.Use(Recover(nil), RequestID())
	for _, h := range with {
		app.Use(h)
	}
	api := New(app, Options{})
	text := strings.Repeat("kettle ", 1000)
	route := func(method, path string, maxBody int, body func() prose) {
		Handle(api, Route{Method: method, Path: path, Name: method + strings.ReplaceAll(path, "/", "-"), Role: identity.Anyone, MaxBody: maxBody, Status: 200},
			func(context.Context, *struct{}) (*wordsOutput, error) { return &wordsOutput{`"7"`, body()}, nil })
	}
	large := func() prose { return prose{text} }
	route("GET", "/v1/large", 0, large)
	route("POST", "/v1/large", 0, large)
	route("POST", "/v1/bulk", 2*BodyLimit, large)
	route("GET", "/v1/1023", 0, func() prose { return prose{text[:1023-len(`{"prose":""}`)]} })
	route("GET", "/v1/1024", 0, func() prose { return prose{text[:1024-len(`{"prose":""}`)]} })
	app.Get("/secret", func(c *fiber.Ctx) error { Uncompressed(c); return c.JSON(prose{text}) })
	app.Get("/no-transform", func(c *fiber.Ctx) error { c.Set("Cache-Control", "no-store, no-transform"); return c.JSON(prose{text}) })
	app.Get("/packed", func(c *fiber.Ctx) error { c.Set("Content-Encoding", "gzip"); c.Type("json"); return c.SendString(text) })
	app.Get("/image", func(c *fiber.Ctx) error { c.Set("Content-Type", "image/png"); return c.SendString(text) })
	app.Get("/weak", func(c *fiber.Ctx) error { c.Set("ETag", `W/"w"`); return c.JSON(prose{text}) })
	static := NewStaticBody([]byte(text))
	app.Get("/static", func(c *fiber.Ctx) error {
		c.Type("html")
		c.Set("ETag", `"s"`)
		if NotModified(c.Get("If-None-Match"), `"s"`) {
			return c.SendStatus(http.StatusNotModified)
		}
		return static.Send(c)
	})
	app.Get("/if-match", func(c *fiber.Ctx) error { return c.SendString(c.Get("If-Match") + " " + c.Get("If-None-Match")) })
	Handle(api, Route{Method: "GET", Path: "/v1/events", Name: "events", Role: identity.Anyone, Produces: "text/event-stream"},
		func(context.Context, *struct{}) (*Stream, error) {
			p := &parts{closed: make(chan struct{}), next: func(_ context.Context, n int) ([]byte, error) {
				if n > 3 {
					return nil, io.EOF
				}
				return []byte("data: " + text + "\n\n"), nil
			}}
			return NewStream(p, StreamOptions{ContentType: "text/event-stream; charset=utf-8", Endless: true}), nil
		})
	return app
}

func fetchIn(t *testing.T, app *fiber.App, method, path, accept string, pairs ...string) (res *http.Response, raw []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://test"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", accept)
	for i := 0; i < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
	}
	if res, err = app.Test(req, -1); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if raw, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res, raw
}

func unpacked(t *testing.T, coding string, raw []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(raw)
	switch coding {
	case codingGzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case codingBrotli:
		plain, err := fasthttp.AppendUnbrotliBytes(nil, raw)
		if err != nil {
			t.Fatal(err)
		}
		return string(plain)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// SPEC E21: which responses are compressed, and that each is the same text in every coding, with an
// entity tag of its own.
func TestCompress_E21(t *testing.T) {
	t.Parallel()
	app := compressing(t, Compress())
	for _, row := range []struct {
		method, path string
		compressed   bool
	}{
		{"GET", "/v1/large", true},
		{"POST", "/v1/bulk", true},
		{"GET", "/v1/1024", true},
		{"GET", "/static", true},
		{"GET", "/weak", true},
		{"GET", "/v1/1023", false},
		{"POST", "/v1/large", false},
		{"GET", "/secret", false},
		{"GET", "/no-transform", false},
		{"GET", "/image", false},
		{"GET", "/v1/events", false},
	} {
		identityRes, plain := fetchIn(t, app, row.method, row.path, "identity")
		for _, coding := range []string{codingGzip, codingBrotli} {
			res, raw := fetchIn(t, app, row.method, row.path, coding)

			name := fmt.Sprint(row.method, " ", row.path, " ", coding)
			if res.StatusCode != 200 || identityRes.StatusCode != 200 || len(plain) < 1000 {
				t.Errorf("%s: %d, %d, %d bytes", name, res.StatusCode, identityRes.StatusCode, len(plain))
			}
			if got := res.Header.Get("Content-Encoding"); (got == coding) != row.compressed || !row.compressed && got != "" {
				t.Errorf("%s: in the coding %q", name, got)
				continue
			}
			etag := identityRes.Header.Get("ETag")
			if row.compressed {
				if len(raw) > len(plain)/2 || unpacked(t, coding, raw) != string(plain) {
					t.Errorf("%s: %d of %d bytes, or other ones", name, len(raw), len(plain))
				}
				etag = strings.TrimSuffix(etag, `"`) + "-" + coding + `"`
				for _, r := range []*http.Response{res, identityRes} {
					if !strings.Contains(r.Header.Get("Vary"), "Accept-Encoding") {
						t.Errorf("%s: Vary: %q", name, r.Header.Get("Vary"))
					}
				}
			}
			if etag != `-`+coding+`"` && res.Header.Get("ETag") != etag {
				t.Errorf("%s: the ETag is %q", name, res.Header.Get("ETag"))
			}
		}
	}
	if res, raw := fetchIn(t, app, "GET", "/packed", "gzip"); res.Header.Get("Content-Encoding") != "gzip" || len(raw) != 7000 {
		t.Errorf("compressed twice: %d bytes", len(raw))
	}
	if res, _ := fetchIn(t, app, "HEAD", "/v1/large", "gzip"); res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("ETag") != `"7-gzip"` {
		t.Errorf("HEAD: %v", res.Header)
	}
	off := compressing(t)
	for _, path := range []string{"/v1/large", "/static"} {
		if res, _ := fetchIn(t, off, "GET", path, "gzip, br"); res.Header.Get("Content-Encoding") != "" || res.Header.Get("Vary") != "" {
			t.Errorf("%s is compressed without the middleware: %v", path, res.Header)
		}
	}
}

// SPEC E21: the tag of a compressed response is a condition like that of the version itself.
func TestConditionsOfCompressedResponses_E21(t *testing.T) {
	t.Parallel()
	app := compressing(t, Compress())
	for in, want := range map[string]string{
		`"7-gzip"`: `"7"`, `"7-br"`: `"7"`, `"7"`: `"7"`, `*`: `*`, `W/"7-gzip", "8-br", "9"`: `W/"7", "8", "9"`, `"7-deflate"`: `"7-deflate"`, `"gzip"`: `"gzip"`,
	} {
		if _, raw := fetchIn(t, app, "GET", "/if-match", "", "If-Match", in, "If-None-Match", in); string(raw) != want+" "+want {
			t.Errorf("%s: %s", in, raw)
		}
	}
	for sent, want := range map[string]string{`"s-br"`: `"s-br"`, `"s"`: `"s"`, `"x", "s-gzip"`: `"s-gzip"`} {
		if res, raw := fetchIn(t, app, "GET", "/static", "br", "If-None-Match", sent); res.StatusCode != 304 || len(raw) > 0 || res.Header.Get("ETag") != want {
			t.Errorf("If-None-Match: %s: %d, ETag %s", sent, res.StatusCode, res.Header.Get("ETag"))
		}
	}
}

// SPEC E21: a compressed export is whole, or is cut like any other, and its memory does not depend on
// its size.
func TestCompressedStreams_E21(t *testing.T) {
	t.Parallel()
	const pieces = 3000
	random := rand.New(rand.NewPCG(1, 2))
	line := func(n int) string {
		return fmt.Sprintf(`{"n":%d,"id":"%016x","status":"COMPLETED"}`+"\n", n, random.Uint64())
	}
	var want strings.Builder
	source := &parts{closed: make(chan struct{}), next: func(_ context.Context, n int) ([]byte, error) {
		if n > pieces {
			return nil, io.EOF
		}
		piece := line(n)
		want.WriteString(piece)
		return []byte(piece), nil
	}}
	c := gzipChunks(source)
	var all bytes.Buffer
	for {
		piece, err := c.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(piece) > 4*compressedPiece {
			t.Fatal(len(piece), err)
		}
		all.Write(piece)
	}
	if got := unpacked(t, codingGzip, all.Bytes()); got != want.String() || all.Len() > want.Len()/2 {
		t.Errorf("%d bytes in %d, want %d", len(got), all.Len(), want.Len())
	}
	c.Close()
	source.wait(t)

	lost := errors.New("the connection is lost")
	c = gzipChunks(&parts{closed: make(chan struct{}), next: func(context.Context, int) ([]byte, error) { return nil, lost }})
	if piece, err := c.Next(t.Context()); !errors.Is(err, lost) || len(piece) > 0 {
		t.Errorf("%d bytes, %v", len(piece), err)
	}
}

// SPEC E21: the client of a slow source waits no longer than a second and one part.
func TestSlowCompressedStream_E21(t *testing.T) {
	t.Parallel()
	c := gzipChunks(&parts{closed: make(chan struct{}), next: func(ctx context.Context, _ int) ([]byte, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(300 * time.Millisecond):
			return []byte("row\n"), nil
		}
	}})
	piece, err := c.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(piece))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(string(got), "row\nrow\n") {
		t.Errorf("%q, %v", got, err)
	}
}

// SPEC E21: over HTTP, a broken export is cut without the end of the compressed data.
func TestBrokenCompressedStreamIsCut_E21(t *testing.T) {
	t.Parallel()
	for _, breaks := range []bool{false, true} {
		cfg := Config()
		p := &parts{closed: make(chan struct{}), next: func(_ context.Context, n int) ([]byte, error) {
			switch {
			case n <= 5000:
				return fmt.Appendf(nil, "%016x;%d\n", rand.Uint64(), n), nil
			case breaks:
				return nil, errors.New("the database is gone")
			}
			return nil, io.EOF
		}}
		app := fiber.New(cfg)
		app.Use(Recover(nil), RequestID(), Compress())
		api := New(app, Options{})
		Handle(api, Route{Method: "GET", Path: "/v1/export", Name: "export", Role: identity.Anyone, Produces: "text/csv"},
			func(context.Context, *struct{}) (*Stream, error) {
				return NewStream(p, StreamOptions{ContentType: "text/csv"}), nil
			})

		res := get(t, "GET", listen(t, app)) // Go accepts gzip by itself
		raw, err := io.ReadAll(res.Body)

		if !res.Uncompressed {
			t.Fatalf("not compressed: %v", res.Header)
		}
		if lines := bytes.Count(raw, []byte("\n")); breaks == (err == nil) || !breaks && lines != 5000 {
			t.Errorf("%d lines, %v", lines, err)
		}
		p.wait(t)
	}
}

// The cost of compression for a page of 20 orders and a document.
func BenchmarkCompress(b *testing.B) {
	order := map[string]any{"id": "01900000-0000-7000-8000-000000000000", "status": "PROCESSING", "items": []any{map[string]any{"sku": "KETTLE", "quantity": 1}}}
	for _, n := range []int{4, 20, 100} {
		list := make([]any, n)
		for i := range list {
			o := map[string]any{"total": rand.IntN(100000), "reference": fmt.Sprint(rand.Uint64())}
			maps.Copy(o, order)
			list[i] = o
		}
		raw, err := json.Marshal(list)
		if err != nil {
			b.Fatal(err)
		}
		for _, coding := range []string{"identity", codingGzip, codingBrotli} {
			b.Run(fmt.Sprintf("%d bytes %s", len(raw), coding), func(b *testing.B) {
				app := fiber.New()
				app.Use(Compress())
				app.Get("/", func(c *fiber.Ctx) error { c.Type("json"); return c.Send(raw) })
				handler := app.Handler()
				ctx := newRequestCtx("GET", "/", "")
				ctx.Request.Header.Set("Accept-Encoding", coding)
				b.ReportAllocs()
				for b.Loop() {
					ctx.Response.Reset()
					handler(ctx)
				}
				b.ReportMetric(float64(len(ctx.Response.Body())), "bytes/response")
				runtime.KeepAlive(ctx)
			})
		}
	}
}
