package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"path"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/web"
)

//go:embed static
var static embed.FS

// file is a body with what does not change about it.
type file struct {
	body        *web.StaticBody
	media, etag string
}

var medias = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json",

	".schema": "application/schema+json",
}

func newFile(name string, body []byte) file {
	media, known := medias[path.Ext(name)]
	if !known {
		panic("pages: no media type for " + name)
	}
	sum := sha256.Sum256(body)
	return file{body: web.NewStaticBody(body), media: media, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

func embedded(name string) file {
	body, err := static.ReadFile("static/" + name)
	if err != nil {
		panic(err)
	}
	return newFile(name, body)
}

// assets are the files that pages refer to.
func assets() (names []string) {
	entries, err := static.ReadDir("static")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".html") {
			names = append(names, e.Name())
		}
	}
	return names
}

// serve answers with the file, or with 304 to a browser that has it. It may be
// kept but is asked for every time, so a new binary's page never runs with an
// old one's script.
func (f file) serve(policy string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentSecurityPolicy, policy)
		c.Set(fiber.HeaderCacheControl, "no-cache")
		c.Set(fiber.HeaderETag, f.etag)
		if web.NotModified(c.Get(fiber.HeaderIfNoneMatch), f.etag) {
			return c.SendStatus(fiber.StatusNotModified)
		}
		c.Set(fiber.HeaderContentType, f.media)
		return f.body.Send(c)
	}
}
