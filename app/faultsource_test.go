package app

import (
	"go/ast"
	"path"
	"strings"
	"testing"
)

// faultSource finds the values that a string or a kind can have in the calls of fault.New and in the literals of
// fault.Field of one package. It follows parameters to their arguments and variables to their
// assignments, by name. An expression that it cannot follow is an error of the test.
type faultSource struct {
	t       *testing.T
	dir     string
	name    string
	files   []source
	parents map[ast.Node]ast.Node
	paths   map[ast.Node]string // of the files
}

// faultSources returns the packages of the product that are compiled into it.
func faultSources(t *testing.T) (list []*faultSource) {
	t.Helper()
	byDir := map[string]*faultSource{}
	for _, root := range []string{"app", "internal", "modules", "platform"} {
		for _, s := range sources(t, root) {
			dir := path.Dir(s.path)
			if byDir[dir] == nil {
				byDir[dir] = &faultSource{t: t, dir: dir, name: s.file.Name.Name, parents: map[ast.Node]ast.Node{}, paths: map[ast.Node]string{}}
				list = append(list, byDir[dir])
			}
			byDir[dir].add(s)
		}
	}
	return list
}

func (p *faultSource) add(s source) {
	p.files = append(p.files, s)
	p.paths[s.file] = s.path
	var stack []ast.Node
	ast.Inspect(s.file, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		if len(stack) > 0 {
			p.parents[n] = stack[len(stack)-1]
		}
		stack = append(stack, n)
		return true
	})
}

func (p *faultSource) each(visit func(ast.Node)) {
	for _, s := range p.files {
		ast.Inspect(s.file, func(n ast.Node) bool { visit(n); return true })
	}
}

// fromFault reports whether the expression is the exported name of package fault.
func (p *faultSource) fromFault(e ast.Expr, name string) bool {
	if s, ok := e.(*ast.SelectorExpr); ok {
		x, ok := s.X.(*ast.Ident)
		return ok && x.Name == "fault" && s.Sel.Name == name
	}
	i, ok := e.(*ast.Ident)
	return ok && p.name == "fault" && i.Name == name
}

// faults calls found with each code and kind of the faults that the package creates.
func (p *faultSource) faults(found func(code, kind, where string)) {
	p.each(func(n ast.Node) {
		var kind, code ast.Expr
		switch n := n.(type) {
		case *ast.CallExpr:
			if !p.fromFault(n.Fun, "New") {
				return
			}
			kind, code = n.Args[0], n.Args[1]
		case *ast.CompositeLit:
			if !p.fromFault(n.Type, "Error") {
				return
			}
			kind, code = member(n, "Kind"), member(n, "Code")
		default:
			return
		}
		if p.isCopied(code) || p.parameterOfNew(code) {
			return
		}
		for _, k := range p.values(kind, nil) {
			for _, c := range p.values(code, nil) {
				found(c, strings.TrimPrefix(k, "Kind"), p.file(n))
			}
		}
	})
}

func (p *faultSource) parameterOfNew(code ast.Expr) bool {
	f, ok := p.function(code).(*ast.FuncDecl)
	return ok && p.name == "fault" && f.Name.Name == "New"
}

// fields calls found with the code of each error in the input that the package creates.
func (p *faultSource) fields(found func(code, where string)) {
	p.each(func(n ast.Node) {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || !p.isField(lit) || len(lit.Elts) == 0 {
			return
		}
		code := member(lit, "Code")
		if code == nil {
			p.t.Errorf("%s has a fault.Field without a code", p.file(n))
			return
		}
		if p.isCopied(code) {
			return
		}
		for _, c := range p.values(code, nil) {
			found(c, p.file(n))
		}
	})
}

// failures calls found with the reason of each failure of an order.
func (p *faultSource) failures(found func(code, where string)) {
	p.each(func(n ast.Node) {
		var code ast.Expr
		switch n := n.(type) {
		case *ast.CompositeLit:
			if name := text(n.Type); name == "Failure" || name == "lifecycle.Failure" {
				code = member(n, "Code")
			}
		case *ast.AssignStmt:
			if text(n.Lhs[0]) == "failure.Code" {
				code = n.Rhs[0]
			}
		}
		if code == nil || p.isCopied(code) {
			return
		}
		for _, c := range p.values(code, nil) {
			found(c, p.file(n))
		}
	})
}

func (p *faultSource) isField(lit *ast.CompositeLit) bool {
	if lit.Type != nil {
		return p.fromFault(lit.Type, "Field")
	}
	list, ok := p.parents[lit].(*ast.CompositeLit)
	if !ok {
		return false
	}
	array, ok := list.Type.(*ast.ArrayType)
	return ok && p.fromFault(array.Elt, "Field")
}

func member(lit *ast.CompositeLit, name string) ast.Expr {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}
