package app

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/golden"
)

// SPEC F10: docs/security.md shows the table of shared resources with the values of the code.
func TestResources_F10(t *testing.T) {
	t.Parallel()
	const path, head = "../docs/security.md", "| resource | limit of one address | limit of one account | capacity and remainder for others | response beyond the limit | proof |\n|---|---|---|---|---|---|\n"
	src := readSources(t)
	var lines []string
	for _, r := range sharedResources {
		if r.name == "" || r.address+r.account == "" || r.remainder == "" || r.beyond == "" || len(r.tests) == 0 {
			t.Errorf("the entry %q has no limit, no remainder, no response or no test", r.name)
		}
		var proof []string
		for _, test := range r.tests {
			folder, name, _ := strings.Cut(test, " ")
			if !src.tests[test] {
				t.Errorf("the entry %q names the test %s, which %s does not have", r.name, name, folder)
			}
			proof = append(proof, "`"+folder+"` "+name)
		}
		cells := []string{r.name, r.address, r.account, r.remainder, r.beyond, strings.Join(proof, ", ")}
		for i, cell := range cells {
			cells[i] = src.fill(t, cell)
		}
		lines = append(lines, strings.ReplaceAll("| "+strings.Join(cells, " | ")+" |", "|  |", "| |"))
	}
	golden.CheckTable(t, path, head, lines)
}

// SPEC F10: every limit of the code is covered by an entry of the table, and every entry covers limits
// that exist.
func TestEveryLimitIsAResource_F10(t *testing.T) {
	t.Parallel()
	src := readSources(t)
	if len(src.limits) < 30 {
		t.Fatalf("the sources have only %d limits", len(src.limits))
	}
	covered := map[string]bool{}
	for _, r := range sharedResources {
		for _, what := range r.covers {
			covered[what] = true
			if src.limits[what] == "" {
				t.Errorf("the entry %q covers %q, which is not in the code", r.name, what)
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(src.limits)) {
		if !covered[what] {
			t.Errorf("%s: %q is a limit without an entry in sharedResources (app/resources.go): name it in covers of the resource that it limits", src.limits[what], what)
		}
	}
}

// A limit that is added is found, in each form.
func TestLimitsAreFound_F10(t *testing.T) {
	t.Parallel()
	const text = `package p
func f() {
	x := &T{places: bulkhead.New[int](bulkhead.Options{Slots: 1})}
	m.placing = batch.New(batch.Options{}, f)
	_ = fault.New(fault.KindRateLimited, "slow-down", "no")
	_ = fault.New(fault.KindConflict, "too-many-cats", "no")
	_ = fault.New(fault.KindConflict, "cat-taken", "no")
	_ = redis.Middleware{Name: "cats", Also: []redis.Policy{{Name: "dogs"}}}
	l.limiter.AllowAll(ctx, call)
}
func (m M) Queues() map[string]int { return map[string]int{cats.Queue: 1} }
func g() any { return bulkhead.New[int](bulkhead.Options{Slots: 1}) }
func h() error { return fault.New(fault.KindRateLimited, code, "no") }
`
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	src := limitSources{limits: map[string]string{}}

	src.find(files, "mods/p", f)

	got := slices.Sorted(maps.Keys(src.limits))
	want := []string{
		"batch mods/p.placing", "bulkhead mods/p.g", "bulkhead mods/p.places", "code of mods/p.h, which is not a literal", "code slow-down", "code too-many-cats",
		"count mods/p.f", "policy cats", "policy dogs", "queue cats.Queue",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
}

// limitSources is what the table is compared with.
type limitSources struct {
	limits map[string]string // the position of each, by its name as in sharedResource.covers
	tests  map[string]bool   // "folder TestName"
	consts map[string]ast.Expr
}

func readSources(t *testing.T) *limitSources {
	t.Helper()
	src := &limitSources{limits: map[string]string{}, tests: map[string]bool{}, consts: map[string]ast.Expr{}}
	for _, folder := range []string{"app", "config", "internal", "modules", "platform"} {
		err := filepath.WalkDir("../"+folder, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "testdata":
				return fs.SkipDir
			case filepath.Ext(path) != ".go":
				return nil
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			home := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
			if strings.HasSuffix(path, "_test.go") {
				src.findTests(home, f)
				return nil
			}
			src.findConsts(home, f)
			// The packages that implement limits for others have none of their own.
			if home != "internal/bulkhead" && home != "internal/redis" && home != "platform/batch" && home != "platform/fault" {
				src.find(files, home, f)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	src.limits["queue river.QueueDefault"] = "platform/queue"
	for field := range reflect.TypeFor[config.Config]().Fields() {
		name := field.Tag.Get("env")
		limit := field.Type == reflect.TypeFor[config.Limit]() || field.Type == reflect.TypeFor[*config.Limit]()
		if limit || strings.HasSuffix(name, "_PER_ACCOUNT") || strings.HasSuffix(name, "_PER_ADDRESS") || strings.HasSuffix(name, "_SLOTS") || strings.HasSuffix(name, "_MAX_CONNS") {
			src.limits[name] = "config/config.go"
		}
	}
	return src
}

func (s *limitSources) findTests(home string, f *ast.File) {
	for _, d := range f.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil && strings.HasPrefix(d.Name.Name, "Test") {
			s.tests[home+" "+d.Name.Name] = true
		}
	}
}

func (s *limitSources) findConsts(home string, f *ast.File) {
	for _, d := range f.Decls {
		d, ok := d.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			continue
		}
		for _, spec := range d.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, value := range spec.Values {
				s.consts[home+"."+spec.Names[i].Name] = value
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool { // constants within functions
		if d, ok := n.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, spec := range d.Specs {
				spec := spec.(*ast.ValueSpec)
				for i, value := range spec.Values {
					if name := home + "." + spec.Names[i].Name; s.consts[name] == nil {
						s.consts[name] = value
					}
				}
			}
		}
		return true
	})
}

// find finds the limits of a file.
func (s *limitSources) find(files *token.FileSet, home string, f *ast.File) {
	add := func(at ast.Node, what string) { s.limits[what] = files.Position(at.Pos()).String() }
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		owners := ownersOf(fn)
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				place := home + "." + cmp.Or(owners[n], fn.Name.Name)
				switch called := nameOf(n.Fun); {
				case called == "bulkhead.New":
					add(n, "bulkhead "+place)
				case called == "batch.New":
					add(n, "batch "+place)
				case called == "fault.New" && len(n.Args) > 1:
					code, isLiteral := literal(n.Args[1])
					limited := nameOf(n.Args[0]) == "fault.KindRateLimited"
					switch {
					case limited && !isLiteral:
						add(n, "code of "+place+", which is not a literal")
					case limited, strings.HasPrefix(code, "too-many-"):
						add(n, "code "+code)
					}
				case strings.HasSuffix(called, "imiter.AllowAll"), strings.HasSuffix(called, "imiter.Allow"):
					add(n, "count "+home+"."+fn.Name.Name)
				}
			case *ast.CompositeLit:
				if kind := nameOf(n.Type); kind == "redis.Middleware" || kind == "redis.Policy" {
					s.findPolicies(n, add)
				}
				if list, ok := n.Type.(*ast.ArrayType); ok && nameOf(list.Elt) == "redis.Policy" {
					for _, e := range n.Elts {
						s.findPolicies(e, add)
					}
				}
				if fn.Name.Name == "Queues" {
					for _, e := range n.Elts {
						if pair, ok := e.(*ast.KeyValueExpr); ok {
							add(pair, "queue "+nameOf(pair.Key))
						}
					}
				}
			}
			return true
		})
	}
}

func (s *limitSources) findPolicies(n ast.Expr, add func(ast.Node, string)) {
	lit, ok := n.(*ast.CompositeLit)
	if !ok {
		return
	}
	for _, e := range lit.Elts {
		if pair, ok := e.(*ast.KeyValueExpr); ok && nameOf(pair.Key) == "Name" {
			name, _ := literal(pair.Value)
			add(pair, "policy "+name)
		}
	}
}

// ownersOf returns the field to which a call of a function is assigned, by the call.
func ownersOf(fn *ast.FuncDecl) map[*ast.CallExpr]string {
	owners := map[*ast.CallExpr]string{}
	note := func(value ast.Expr, owner ast.Expr) {
		if call, ok := value.(*ast.CallExpr); ok {
			name := nameOf(owner)
			owners[call] = name[strings.LastIndex(name, ".")+1:]
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			note(n.Value, n.Key)
		case *ast.AssignStmt:
			for i, value := range n.Rhs {
				if len(n.Lhs) == len(n.Rhs) {
					note(value, n.Lhs[i])
				}
			}
		}
		return true
	})
	return owners
}

// nameOf returns the text of an identifier or a selector, without type arguments.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return nameOf(e.X)
	}
	return ""
}

func literal(e ast.Expr) (text string, ok bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

var placeholder = regexp.MustCompile(`\{[^}]+\}`)

// fill replaces the placeholders of a text by the values of settings and constants.
func (s *limitSources) fill(t *testing.T, text string) string {
	t.Helper()
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		name = strings.Trim(name, "{}")
		if !strings.Contains(name, ".") {
			return "`" + name + "` (" + defaultOf(t, name) + ")"
		}
		if s.consts[name] == nil {
			t.Errorf("there is no constant %s", name)
			return "?"
		}
		value, isTime := s.eval(t, name[:strings.LastIndex(name, ".")], s.consts[name])
		n, exact := constant.Int64Val(constant.ToInt(value))
		switch {
		case !exact:
			t.Errorf("the constant %s is not a whole number", name)
		case isTime:
			return spell(time.Duration(n))
		}
		return grouped(n)
	})
}

// defaultOf returns the default of a setting.
func defaultOf(t *testing.T, name string) string {
	t.Helper()
	for field := range reflect.TypeFor[config.Config]().Fields() {
		if field.Tag.Get("env") == name && field.Tag.Get("envDefault") != "" {
			return field.Tag.Get("envDefault")
		}
	}
	t.Errorf("there is no setting %s with a default", name)
	return "?"
}

// eval evaluates the expression of a constant of a folder, and reports whether it is a duration.
func (s *limitSources) eval(t *testing.T, home string, e ast.Expr) (value constant.Value, isTime bool) {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0), false
	case *ast.Ident:
		if named := s.consts[home+"."+e.Name]; named != nil {
			return s.eval(t, home, named)
		}
	case *ast.SelectorExpr:
		units := map[string]time.Duration{"time.Millisecond": time.Millisecond, "time.Second": time.Second, "time.Minute": time.Minute, "time.Hour": time.Hour}
		if unit, ok := units[nameOf(e)]; ok {
			return constant.MakeInt64(int64(unit)), true
		}
	case *ast.BinaryExpr:
		left, leftTime := s.eval(t, home, e.X)
		right, rightTime := s.eval(t, home, e.Y)
		if e.Op == token.SHL {
			n, _ := constant.Uint64Val(right)
			return constant.Shift(left, token.SHL, uint(n)), false
		}
		return constant.BinaryOp(left, e.Op, right), leftTime || rightTime
	}
	t.Errorf("a constant of %s is an expression that this test cannot evaluate: %T", home, e)
	return constant.MakeInt64(0), false
}

// spell writes a duration as prose does: 10 s, 1500 ms, 10 min.
func spell(d time.Duration) string {
	switch {
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return fmt.Sprintf("%d ms", d/time.Millisecond)
}

// grouped writes a number with commas between thousands, and a multiple of 1 MiB as such.
func grouped(n int64) string {
	if n > 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	return grouped(n/1000) + fmt.Sprintf(",%03d", n%1000)
}
