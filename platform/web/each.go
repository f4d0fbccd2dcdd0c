package web

import (
	"context"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Each is a list in a body whose items are validated separately. The OpenAPI document shows a list
// of T. If only items are invalid, the handler runs, and Read returns for each item the error that
// a request with this item alone would get. If there are more errors than are collected
// (mostFaults), the whole request is rejected. A body has at most one Each, as a direct member.
type Each[T any] struct{ items []jsontext.Value }

// Len returns the number of items, valid or not.
func (e Each[T]) Len() int { return len(e.items) }

// Read decodes an item as strictly as a body. The pointers in its fault are relative to the item.
func (e Each[T]) Read(ctx context.Context, i int) (item T, err error) {
	raw := e.items[i]
	if r := requestFrom(ctx); r != nil {
		if r.each != nil {
			raw = r.each[i] // e was made from the outline
		}
		if fields := r.within(i); len(fields) > 0 {
			return item, fault.Unprocessable(fields...)
		}
	}
	if err := decodeInto(raw, &item); err != nil {
		return item, fault.Unprocessable(fieldFromText(err.Error())).Because(err)
	}
	return item, nil
}

// UnmarshalJSON stores the items without decoding them.
func (e *Each[T]) UnmarshalJSON(raw []byte) error { return json.Unmarshal(raw, &e.items) }

// Schema returns the schema of a list of T.
func (Each[T]) Schema(registry huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: registry.Schema(reflect.TypeFor[T](), true, "")}
}

func (Each[T]) apart() {}

// apartIn returns the pointer of the Each in the body of an input, or "".
func apartIn(input reflect.Type) string {
	body, ok := input.FieldByName("Body")
	if !ok || body.Type.Kind() != reflect.Struct {
		return ""
	}
	for f := range body.Type.Fields() {
		if f.Type.Implements(reflect.TypeFor[interface{ apart() }]()) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return "/" + name
		}
	}
	return ""
}

// within returns the errors of one item, with pointers relative to it.
func (r *request) within(i int) []fault.Field {
	if r.items == nil {
		r.items = map[string][]fault.Field{}
		for _, f := range tidy(r.body) {
			if rest, inside := strings.CutPrefix(f.Pointer, r.plan.apart+"/"); inside {
				item, member, deeper := strings.Cut(rest, "/")
				f.Pointer = member
				if deeper {
					f.Pointer = "/" + member
				}
				r.items[item] = append(r.items[item], f)
			}
		}
	}
	return r.items[strconv.Itoa(i)]
}

// onlyApart reports whether every error of the body is in an item.
func (r *request) onlyApart() bool {
	if r.plan == nil || r.plan.apart == "" || r.more {
		return false
	}
	for _, f := range r.body {
		if !strings.HasPrefix(f.Pointer, r.plan.apart+"/") {
			return false
		}
	}
	return true
}
