package pages

import (
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/swaggest/swgui/v5emb"
)

// mountSwagger serves the two files of Swagger UI that docs.html needs. The page
// that comes with them is not used: its inline scripts would need a hash for each
// version in the policy, and docs.js says the same in five lines.
func mountSwagger(app fiber.Router) {
	files := adaptor.HTTPHandler(v5emb.New("", "", "/docs"))
	for _, name := range []string{"swagger-ui.css", "swagger-ui-bundle.js"} {
		app.Get("/docs/"+name, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderCacheControl, "no-cache")
			return files(c)
		})
	}
}
