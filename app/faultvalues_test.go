package app

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// values returns the values of the expression: strings, and names of constants of package fault.
func (p *faultSource) values(e ast.Expr, seen []ast.Node) []string {
	if slices.Contains(seen, ast.Node(e)) {
		return nil
	}
	seen = append(seen, e)
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err == nil {
			return []string{text}
		}
	case *ast.Ident:
		return p.variable(e, seen)
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok && x.Name == "fault" {
			return []string{e.Sel.Name}
		}
		if list := append(p.memberOfRange(e), p.memberOfStruct(e, seen)...); list != nil {
			return list
		}
	case *ast.IndexExpr:
		return p.elements(e.X, seen)
	case *ast.CallExpr:
		return p.call(e, seen)
	}
	p.t.Errorf("%s: the value of %s cannot be determined; pass a constant", p.file(e), text(e))
	return nil
}

// call returns the argument of a conversion to string, or what a function of the package returns.
func (p *faultSource) call(e *ast.CallExpr, seen []ast.Node) (list []string) {
	name := called(e)
	if name == "string" {
		return p.values(e.Args[0], seen)
	}
	p.each(func(n ast.Node) {
		r, ok := n.(*ast.ReturnStmt)
		if f, isDecl := p.function(n).(*ast.FuncDecl); ok && isDecl && f.Name.Name == name && len(r.Results) > 0 {
			list = append(list, p.values(r.Results[0], seen)...)
		}
	})
	if list == nil {
		p.t.Errorf("%s: the result of %s cannot be determined", p.file(e), name)
	}
	return list
}

// variable returns the arguments of a parameter, the constants of the type of a receiver, or what is
// assigned to a variable or a constant.
func (p *faultSource) variable(id *ast.Ident, seen []ast.Node) (list []string) {
	if p.name == "fault" && strings.HasPrefix(id.Name, "Kind") {
		return []string{id.Name}
	}
	for f := p.function(id); f != nil; f = p.function(p.parents[f]) {
		if decl, ok := f.(*ast.FuncDecl); ok && decl.Recv != nil && isNamed(decl.Recv, id.Name) {
			return p.constantsOf(text(decl.Recv.List[0].Type))
		}
		if i := indexOf(parameters(f), id.Name); i >= 0 {
			return p.arguments(f, i, seen)
		}
		if found := p.assigned(f, id.Name, seen); found != nil {
			return found
		}
	}
	for _, s := range p.files {
		list = append(list, p.assigned(s.file, id.Name, seen)...)
	}
	if list == nil {
		p.t.Errorf("%s: the value of %s cannot be determined", p.file(id), id.Name)
	}
	return list
}

// arguments returns the values of the argument i in all calls of the function within the package.
func (p *faultSource) arguments(f ast.Node, i int, seen []ast.Node) (list []string) {
	name := p.nameOf(f)
	p.each(func(n ast.Node) {
		if c, ok := n.(*ast.CallExpr); ok && name != "" && called(c) == name && i < len(c.Args) {
			list = append(list, p.values(c.Args[i], seen)...)
		}
	})
	if list == nil {
		p.t.Errorf("%s: no call of %s is found", p.file(f), name)
	}
	return list
}

// assigned returns the values that are assigned to a variable within scope, but at the top level of a file only.
func (p *faultSource) assigned(scope ast.Node, name string, seen []ast.Node) (list []string) {
	ast.Inspect(scope, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return n == scope // a file's constants are not those of its functions
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if id, ok := left.(*ast.Ident); ok && id.Name == name && len(n.Rhs) == len(n.Lhs) {
					list = append(list, p.values(n.Rhs[i], seen)...)
				}
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				if id.Name == name && i < len(n.Values) {
					list = append(list, p.values(n.Values[i], seen)...)
				}
			}
		}
		return true
	})
	return list
}

// constantsOf returns the constants of a type.
func (p *faultSource) constantsOf(name string) (list []string) {
	p.each(func(n ast.Node) {
		if s, ok := n.(*ast.ValueSpec); ok && s.Type != nil && text(s.Type) == name {
			for _, v := range s.Values {
				list = append(list, p.values(v, nil)...)
			}
		}
	})
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// elements returns the values of a map that is a variable of the package.
func (p *faultSource) elements(e ast.Expr, seen []ast.Node) (list []string) {
	p.each(func(n ast.Node) {
		s, ok := n.(*ast.ValueSpec)
		if !ok || len(s.Values) != 1 || s.Names[0].Name != text(e) {
			return
		}
		for _, elt := range s.Values[0].(*ast.CompositeLit).Elts {
			list = append(list, p.values(elt.(*ast.KeyValueExpr).Value, seen)...)
		}
	})
	return list
}

// memberOfRange returns the member of all elements of a table of the package that is ranged over.
func (p *faultSource) memberOfRange(e *ast.SelectorExpr) (list []string) {
	var table string
	for n := p.parents[e]; n != nil; n = p.parents[n] {
		if r, ok := n.(*ast.RangeStmt); ok && r.Value != nil && text(r.Value) == text(e.X) {
			table = text(r.X)
		}
	}
	p.each(func(n ast.Node) {
		s, ok := n.(*ast.ValueSpec)
		if !ok || table == "" || s.Names[0].Name != table {
			return
		}
		lit := s.Values[0].(*ast.CompositeLit)
		i := indexOf(names(lit.Type.(*ast.ArrayType).Elt.(*ast.StructType).Fields), e.Sel.Name)
		for _, row := range lit.Elts {
			list = append(list, p.values(row.(*ast.CompositeLit).Elts[i], nil)...)
		}
	})
	return list
}

// memberOfStruct returns the values of the member in all literals of the package.
func (p *faultSource) memberOfStruct(e *ast.SelectorExpr, seen []ast.Node) (list []string) {
	p.each(func(n ast.Node) {
		if kv, ok := n.(*ast.KeyValueExpr); ok && text(kv.Key) == e.Sel.Name {
			list = append(list, p.values(kv.Value, seen)...)
		}
	})
	return list
}

// function returns the innermost function around n, which may be n's own.
func (p *faultSource) function(n ast.Node) ast.Node {
	for ; n != nil; n = p.parents[n] {
		switch n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
			return n
		}
	}
	return nil
}

// nameOf returns the name by which a function is called: its own, or that of its variable.
func (p *faultSource) nameOf(f ast.Node) string {
	if decl, ok := f.(*ast.FuncDecl); ok {
		return decl.Name.Name
	}
	if assign, ok := p.parents[f].(*ast.AssignStmt); ok {
		return text(assign.Lhs[0])
	}
	return ""
}

func (p *faultSource) file(n ast.Node) string {
	for p.parents[n] != nil {
		n = p.parents[n]
	}
	return p.paths[n]
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func parameters(f ast.Node) []string {
	if decl, ok := f.(*ast.FuncDecl); ok {
		return names(decl.Type.Params)
	}
	return names(f.(*ast.FuncLit).Type.Params)
}

func names(fields *ast.FieldList) (list []string) {
	for _, f := range fields.List {
		for _, n := range f.Names {
			list = append(list, n.Name)
		}
	}
	return list
}

func isNamed(fields *ast.FieldList, name string) bool { return slices.Contains(names(fields), name) }

func indexOf(list []string, name string) int { return slices.Index(list, name) }

func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return text(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return text(e.X) + "[" + text(e.Index) + "]"
	case *ast.StarExpr:
		return text(e.X)
	case nil:
		return ""
	case *ast.BasicLit:
		return e.Value
	}
	return fmt.Sprintf("%T", e)
}
