package pages

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
)

// swaggerUI is a copy of two files of Swagger UI, compressed. Its manifest says from which release
// they are, so that a vulnerability of it, or of what it contains, can be looked up: tools that read
// Go modules do not see it. docs/security.md says how it is replaced.
//
//go:embed swagger/manifest.json swagger/*.gz
var swaggerUI embed.FS

// SwaggerFiles are the paths of the files of Swagger UI. They are served from memory.
var SwaggerFiles = []string{"/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"}

// SwaggerManifest returns the manifest of the copy of Swagger UI.
func SwaggerManifest() []byte { return mustRead("swagger/manifest.json") }

// mountSwagger serves the two files of Swagger UI that docs.html needs. The page that comes with
// them is not used: its inline scripts would need a hash for each version in the policy, and docs.js
// says the same in five lines.
func mountSwagger(app fiber.Router) {
	for _, path := range SwaggerFiles {
		name := strings.TrimPrefix(path, "/docs/")
		compressed := mustRead("swagger/" + name + ".gz")
		packed := newFile(name, compressed).serve(ours)
		plain := sync.OnceValue(func() fiber.Handler { return newFile(name, unpack(compressed)).serve(ours) })
		app.Get(path, func(c *fiber.Ctx) error {
			c.Vary(fiber.HeaderAcceptEncoding)
			if c.AcceptsEncodings("gzip") == "" || c.Get(fiber.HeaderAcceptEncoding) == "" {
				return plain()(c) // hardly any client
			}
			c.Set(fiber.HeaderContentEncoding, "gzip")
			return packed(c)
		})
	}
}

func mustRead(name string) []byte {
	body, err := swaggerUI.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return body
}

// unpack panics for a file in the binary that is broken.
func unpack(compressed []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		panic(err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return body
}
