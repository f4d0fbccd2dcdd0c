package web

import (
	"slices"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
)

// methodTable lists the methods of each path. Fiber has this list only at the end of the chain of
// handlers, after authentication and limits.
type methodTable struct {
	app   *fiber.App
	build sync.Once // at the first request, when all routes are registered
	rows  []methodRow
}

type methodRow struct {
	pattern string // as in the OpenAPI document: /v1/orders/{id}
	parts   []string
	methods []string
}

func newMethodTable(app *fiber.App) *methodTable { return &methodTable{app: app} }

// find returns the first pattern that matches the path, and the methods of all matching patterns in
// the order of Fiber's Allow header. It takes some microseconds and caches nothing.
func (t *methodTable) find(path string) (pattern string, methods []string) {
	t.build.Do(t.read)
	parts := strings.Split(path, "/")
	for _, row := range t.rows {
		if !row.matches(parts) {
			continue
		}
		if pattern == "" {
			pattern = row.pattern
		}
		for _, m := range row.methods {
			if !slices.Contains(methods, m) {
				methods = append(methods, m)
			}
		}
	}
	order := t.app.Config().RequestMethods
	slices.SortFunc(methods, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	return pattern, methods
}

func (t *methodTable) read() {
	rows := map[string]int{}
	for _, route := range t.app.GetRoutes(true) { // without middleware
		i, known := rows[route.Path]
		if !known {
			i = len(t.rows)
			rows[route.Path] = i
			t.rows = append(t.rows, methodRow{pattern: documented(route.Path), parts: strings.Split(route.Path, "/")})
		}
		t.rows[i].methods = append(t.rows[i].methods, route.Method)
	}
}

// documented converts a pattern of Fiber to the form of the document.
func documented(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, isParam := strings.CutPrefix(part, ":"); isParam {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func (r methodRow) matches(parts []string) bool {
	for i, part := range r.parts {
		switch {
		case part == "*":
			return len(parts) > i
		case i >= len(parts):
			return false
		case strings.HasPrefix(part, ":"):
			if parts[i] == "" {
				return false
			}
		case part != parts[i]:
			return false
		}
	}
	return len(parts) == len(r.parts)
}
