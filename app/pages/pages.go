// Package pages is what a browser gets from the binary itself: the landing page,
// the documentation of the API, and a page to try it.
//
// The pages are plain files and call the public API like any other client, so
// they prove that it suffices. Nothing comes from another host: they work
// offline, under a Content-Security-Policy that forbids everything else.
package pages

import (
	"fmt"
	"sync"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/mail"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Options say what the pages show. All of them may be left empty.
type Options struct {
	// OpenAPI makes the API's description. It is called once, at the first
	// request for it, so routes may be registered until the app listens. Without
	// it there is no /openapi.json.
	OpenAPI func() ([]byte, error)
	// AsyncAPI describes the events, in the same way.
	AsyncAPI func() ([]byte, error)
	// Schemas are one JSON Schema for each type of event.
	Schemas map[string][]byte
	// Guide are the chapters of /guide. They are rendered once, at the first request. Without any
	// there is no /guide.
	Guide   func() []Chapter
	Version string // of the product; default: dev
	// Dir is a folder from which pages and assets are read for each request, in development: see
	// SourceDir. Without it those in the binary are served.
	Dir string
	// Outbox returns the messages that /try shows, in development. They contain codes to reset the
	// passwords of all accounts. Without it /try shows none.
	Outbox func() []mail.Sent
}

// What a page may load. Ours use no inline script or style, and no markup from
// strings: "trusted-types 'none'" makes the browser refuse an innerHTML. Without
// script a form goes nowhere, so a password never lands in a URL. Swagger UI assigns HTML that
// DOMPurify has cleaned as text, which "require-trusted-types-for" would refuse; no other script
// may declare HTML as trusted there.
const (
	ours = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'"
	swagger = "default-src 'self'; img-src 'self' data:; " +
		"base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'; " +
		"trusted-types dompurify"
)

// Mount registers the pages. It panics when a file in the binary is broken.
func Mount(app fiber.Router, o Options) {
	if o.Version == "" {
		o.Version = "dev"
	}

	if o.Dir != "" {
		mountDisk(app, o.Dir, o.Version) // comes first, so it hides the routes below
	}
	app.Get("/", landing(o.Version).serve(ours))
	app.Get("/try", embedded("try.html").serve(ours))
	app.Get("/docs", embedded("docs.html").serve(swagger))
	if o.Guide != nil {
		app.Get("/guide", once(func() (file, error) { return guide(o.Guide()) }))
	}
	for _, name := range assets() {
		app.Get("/assets/"+name, embedded(name).serve(ours))
	}
	mountSwagger(app)
	if o.Outbox != nil {
		app.Get("/try/mail", messages(o.Outbox))
	}
	if o.OpenAPI != nil {
		app.Get("/openapi.json", description(o.OpenAPI))
	}
	if o.AsyncAPI != nil {
		app.Get("/asyncapi.json", description(o.AsyncAPI))
	}
	for name, body := range o.Schemas {
		app.Get("/schemas/"+name, newFile("event.schema", body).serve(ours))
	}
}

func landing(version string) file {
	page, err := static.ReadFile("static/index.html")
	if err != nil {
		panic(err)
	}
	return newFile("index.html", withVersion(page, version))
}

// description serves what the code describes itself as (SPEC F5).
func description(document func() ([]byte, error)) fiber.Handler {
	return once(func() (file, error) {
		body, err := document()
		if err != nil {
			return file{}, fmt.Errorf("describe the API: %w", err)
		}
		return newFile("description.json", body), nil
	})
}

// once serves a file that is made at the first request.
func once(produce func() (file, error)) fiber.Handler {
	ready := sync.OnceValues(func() (fiber.Handler, error) {
		f, err := produce()
		return f.serve(ours), err
	})
	return func(c *fiber.Ctx) error {
		serve, err := ready()
		if err != nil {
			return err
		}
		return serve(c)
	}
}

// messages serves the outbox of development to the page /try, and to no page of another origin.
func messages(outbox func() []mail.Sent) fiber.Handler {
	type message struct {
		At      jsontime.Time `json:"at"`
		To      string        `json:"to"`
		Subject string        `json:"subject"`
		Text    string        `json:"text"`
	}
	return func(c *fiber.Ctx) error {
		list := []message{}
		for _, m := range outbox() {
			list = append(list, message{jsontime.At(m.At), m.To, m.Subject, m.Text})
		}
		c.Set(fiber.HeaderCacheControl, "no-store")
		web.Uncompressed(c)
		return c.JSON(fiber.Map{"data": list})
	}
}
