// Command newmodule writes a module that compiles and passes its tests: a table, an
// entity, routes to create, list, read and delete, and tests of them. Its arguments are
// the root of the repository and the module's name, a plural noun such as coupons.
//
// It changes one existing file, app/modules.go, and never overwrites a file.
package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

//go:embed templates/*.tmpl
var templates embed.FS

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("say the root of the repository and the module: newmodule .. coupons")
	}
	m, err := newModule(args[0], args[1])
	if err != nil {
		return err
	}
	written, err := m.write()
	if err != nil {
		return err
	}
	if err := m.register(); err != nil {
		return err
	}
	fmt.Printf(next, strings.Join(written, "\n  "), m.Name)
	return nil
}

const next = `Written:
  %[1]s
Changed: app/modules.go (the module's import, and its line in constructors)

Next:
  task generate                                      writes the entity into ent/
  go test ./modules/%[2]s ./migrations
  go test ./app -run 'Role|Scopes|Matrix' -update    adds the routes to the golden files; read the difference
  go test ./app -run 'Own|Imports|Trespass|BadInput'
Another module that needs this one declares an interface; pass n.%[2]s to it in app/modules.go.
`

// module holds the values of the templates.
type module struct {
	root    string
	Path    string // of the Go module, which a fork changes
	Name    string // coupons
	One     string // coupon
	Entity  string // Coupon
	Title   string // Coupons
	Version int    // of the migration
}

var names = regexp.MustCompile(`^[a-z]{2,30}$`)

func newModule(root, name string) (*module, error) {
	if !names.MatchString(name) || !strings.HasSuffix(name, "s") {
		return nil, fmt.Errorf("%q: a module is named by a plural noun of lower-case letters, such as coupons", name)
	}
	m := &module{root: root, Name: name, One: singular(name)}
	m.Entity, m.Title = strings.ToUpper(m.One[:1])+m.One[1:], strings.ToUpper(name[:1])+name[1:]
	raw, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	m.Path = strings.TrimPrefix(first, "module ")
	m.Version, err = nextVersion(filepath.Join(root, "migrations"))
	return m, err
}

func singular(name string) string {
	if stem, ok := strings.CutSuffix(name, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(name, "s")
}

// nextVersion returns the number after that of the last migration.
func nextVersion(dir string) (int, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.sql"))
	if err != nil {
		return 0, err
	}
	last := 0
	for _, f := range files {
		number, _, _ := strings.Cut(filepath.Base(f), "_")
		if n, err := strconv.Atoi(number); err == nil {
			last = max(last, n)
		}
	}
	return last + 1, nil
}

// write writes all files, or none if one of them already exists.
func (m *module) write() (written []string, err error) {
	files := map[string]string{
		"module.go.tmpl":      filepath.Join("modules", m.Name, m.Name+".go"),
		"audit.go.tmpl":       filepath.Join("modules", m.Name, "audit.go"),
		"store.go.tmpl":       filepath.Join("modules", m.Name, "store.go"),
		"http.go.tmpl":        filepath.Join("modules", m.Name, "http.go"),
		"setup_test.go.tmpl":  filepath.Join("modules", m.Name, "setup_test.go"),
		"module_test.go.tmpl": filepath.Join("modules", m.Name, m.Name+"_test.go"),
		"schema.go.tmpl":      filepath.Join("modules", m.Name, "schema", "schema.go"),
		"entity.go.tmpl":      filepath.Join("ent", "schema", m.One+".go"),
		"migration.sql.tmpl":  filepath.Join("migrations", fmt.Sprintf("%d_%s_%s.sql", m.Version, m.Name, m.Name)),
	}
	for _, path := range files {
		if _, err := os.Stat(filepath.Join(m.root, path)); err == nil {
			return nil, fmt.Errorf("%s is there already", path)
		}
	}
	all, err := template.ParseFS(templates, "templates/*.tmpl")
	if err != nil {
		return nil, err
	}
	for _, t := range all.Templates() {
		path := files[t.Name()]
		if err := m.writeOne(t, path); err != nil {
			return written, fmt.Errorf("%s: %w", path, err)
		}
		written = append(written, path)
	}
	return written, nil
}

func (m *module) writeOne(t *template.Template, path string) error {
	var b bytes.Buffer
	if err := t.Execute(&b, m); err != nil {
		return err
	}
	text := b.Bytes()
	if strings.HasSuffix(path, ".go") {
		var err error
		if text, err = format.Source(text); err != nil {
			return err
		}
	}
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

var constructors = regexp.MustCompile(`(?s)func \(n \*node\) constructors\(\) \[\]NewModule \{\n\treturn \[\]NewModule\{\n.*?\n\t\}\n\}`)

// register adds the module to the list in app/modules.go.
func (m *module) register() error {
	path := filepath.Join(m.root, "app", "modules.go")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	list := constructors.Find(raw)
	if list == nil {
		return fmt.Errorf("%s: there is no list of constructors", path)
	}
	line := fmt.Sprintf("\t\tfunc(p *Platform) (Module, error) { return %[1]s.New(%[1]s.Deps{Pool: p.Pool, Log: p.Log}), nil },\n\t}\n}", m.Name)
	changed := bytes.Replace(raw, list, append(bytes.TrimSuffix(list, []byte("\t}\n}")), line...), 1)
	imported := fmt.Sprintf("\t%q\n", m.Path+"/modules/auth")
	changed = bytes.Replace(changed, []byte(imported), []byte(imported+fmt.Sprintf("\t%q\n", m.Path+"/modules/"+m.Name)), 1)
	if changed, err = format.Source(changed); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, changed, 0o600)
}
