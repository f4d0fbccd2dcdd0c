package app

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each exported name of the product has a comment, those of methods of interfaces and of Error,
// String and Unwrap included, which the rule "exported" of revive omits.
func TestExportedNamesHaveComments(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"app", "clients", "config", "internal", "migrations", "modules", "platform"} {
		err := filepath.WalkDir("../"+folder, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules"):
				return fs.SkipDir
			case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			if f.Name.Name == "main" || ast.IsGenerated(f) {
				return nil
			}
			for _, name := range uncommented(f) {
				t.Errorf("%s: %s has no comment", files.Position(name.Pos()), name.Name)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// uncommented returns the exported names of a file without a comment. A comment on a group of
// declarations counts for each of them.
func uncommented(f *ast.File) (names []*ast.Ident) {
	check := func(name *ast.Ident, comments ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c != nil }) {
			names = append(names, name)
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || receiverName(d.Recv.List[0].Type).IsExported() {
				check(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					check(s.Name, d.Doc, s.Doc, s.Comment)
					if i, ok := s.Type.(*ast.InterfaceType); ok && s.Name.IsExported() {
						for _, m := range i.Methods.List {
							for _, name := range m.Names {
								check(name, m.Doc, m.Comment)
							}
						}
					}
				case *ast.ValueSpec:
					for _, name := range s.Names {
						check(name, d.Doc, s.Doc, s.Comment)
					}
				}
			}
		}
	}
	return names
}

// receiverName returns the name of the type of a receiver.
func receiverName(of ast.Expr) *ast.Ident {
	switch e := of.(type) {
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.IndexExpr:
		return receiverName(e.X)
	case *ast.IndexListExpr:
		return receiverName(e.X)
	case *ast.Ident:
		return e
	}
	return ast.NewIdent("_")
}

func TestUncommentedNamesAreFound(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "a.go", `package a
		// A is commented.
		type A interface {
			M()
			// N is commented.
			N()
		}
		type B[T any] struct{}
		func (b *B[T]) Error() string { return "" }
		type c struct{}
		func (c) Error() string { return "" }
		// The group is commented.
		const ( D = 1; E = 2 )
		var F, g = 1, 2 // F is commented.
		var H int
		func I() {}`, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}

	var got []string
	for _, name := range uncommented(f) {
		got = append(got, name.Name)
	}

	if want := []string{"M", "B", "Error", "H", "I"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}
