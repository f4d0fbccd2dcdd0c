package pages

import (
	"bytes"
	"errors"
	"html"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// SourceDir returns the folder with the files of the pages if the working directory is a checkout of
// the module that contains this package, and "" otherwise. It is for development: with it as
// Options.Dir, a reload shows a changed file.
func SourceDir() string {
	const folder = "app/pages/static"
	module := strings.TrimSuffix(reflect.TypeFor[Options]().PkgPath(), "/app/pages")
	mod, err := os.ReadFile("go.mod")
	if err != nil || !strings.HasPrefix(string(mod), "module "+module+"\n") {
		return ""
	}
	dir, err := filepath.Abs(folder)
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "index.html")); err != nil {
		return ""
	}
	return dir
}

// mountDisk registers the pages and their assets from a folder, which is read for each request. What
// is not there is left to the files in the binary.
func mountDisk(app fiber.Router, dir, version string) {
	serve := func(name func(*fiber.Ctx) string, policy string) fiber.Handler {
		return func(c *fiber.Ctx) error {
			f, err := readFile(dir, name(c), version)
			if errors.Is(err, fs.ErrNotExist) {
				return c.Next()
			}
			if err != nil {
				return err
			}
			return f.serve(policy)(c)
		}
	}
	fixed := func(name string) func(*fiber.Ctx) string { return func(*fiber.Ctx) string { return name } }
	app.Get("/", serve(fixed("index.html"), ours))
	app.Get("/try", serve(fixed("try.html"), ours))
	app.Get("/docs", serve(fixed("docs.html"), swagger))
	app.Get("/assets/:name", serve(func(c *fiber.Ctx) string {
		if name := c.Params("name"); path.Ext(name) != ".html" { // a page, which has a path of its own
			return name
		}
		return ""
	}, ours))
}

// readFile reads a file of the folder itself, not of folders in it.
func readFile(dir, name, version string) (file, error) {
	_, known := medias[path.Ext(name)]
	if !known || strings.ContainsAny(name, `/\`) {
		return file{}, fs.ErrNotExist
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return file{}, err
	}
	defer root.Close()
	body, err := root.ReadFile(name)
	if err != nil {
		return file{}, err
	}
	return newFile(name, withVersion(body, version)), nil
}

// withVersion puts the version into the landing page. It does not use html/template: templates call
// methods by name, and so the linker would keep every exported method of every type in the binary (ADR 20).
func withVersion(page []byte, version string) []byte {
	return bytes.ReplaceAll(page, []byte("{{.Version}}"), []byte(html.EscapeString(version)))
}
