package pages

import (
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	swaggerui "github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

// mountSwagger serves the two files of Swagger UI that docs.html needs. The page
// that comes with them is not used: its inline scripts would need a hash for each
// version in the policy, and docs.js says the same in five lines; its handler would
// also link html/template, see landing. The files are embedded compressed and sent so.
func mountSwagger(app fiber.Router) {
	files := adaptor.HTTPHandler(http.StripPrefix("/docs", statigz.FileServer(swaggerui.FS)))
	for _, name := range []string{"swagger-ui.css", "swagger-ui-bundle.js"} {
		app.Get("/docs/"+name, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderCacheControl, "no-cache")
			return files(c)
		})
	}
}
