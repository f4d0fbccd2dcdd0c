package web

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// schemaName returns the name of a type in the documents of the API: that of the tag `schema` of a
// blank field, or else its Go name. The tag is for types with a Go name that needs the name of the
// package, such as audit.Entry:
//
//	type Entry struct {
//		_ struct{} `schema:"AuditEntry"`
//
// A Page[Order] is an OrderPage.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return huma.DefaultSchemaNamer(t, hint)
	}
	if t == reflect.TypeFor[fault.Field]() {
		return "FieldError"
	}
	for f := range t.Fields() {
		if name := f.Tag.Get("schema"); f.Name == "_" && name != "" {
			return name
		}
	}
	if item, ok := itemOfPage(t); ok {
		return schemaName(item, hint) + "Page"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// itemOfPage returns the type of the items of a Page.
func itemOfPage(t reflect.Type) (item reflect.Type, ok bool) {
	if t.PkgPath() != reflect.TypeFor[API]().PkgPath() || !strings.HasPrefix(t.Name(), "Page[") {
		return nil, false
	}
	data, _ := t.FieldByName("Data")
	return data.Type.Elem(), true
}

// namer gives a type the name of schemaName, with its package in front if two modules use the same
// name, which huma would reject.
func namer() func(reflect.Type, string) string {
	taken := map[string]reflect.Type{}
	return func(t reflect.Type, hint string) string {
		name := schemaName(t, hint)
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return name
		}
		if other, ok := taken[name]; ok && other != t {
			pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
			name = strings.ToUpper(pkg[:min(1, len(pkg))]) + pkg[min(1, len(pkg)):] + name
			for n := 2; taken[name] != nil && taken[name] != t; n++ {
				name = fmt.Sprintf("%s%d", strings.TrimRight(name, "0123456789"), n)
			}
		}
		taken[name] = t
		return name
	}
}
