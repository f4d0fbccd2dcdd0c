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

// Each is a list in a body whose items are judged one by one. It is described as
// a list of T; but where only items are at fault the handler runs, and Read tells
// it of each item what a request with that item alone would have been told. Where there
// are more faults than anybody looks for (mostFaults), the whole is refused. A body has
// one Each at most, among its own members.
type Each[T any] struct{ items []jsontext.Value }

// Len is the number of items, good and bad.
func (e Each[T]) Len() int { return len(e.items) }

// Read decodes an item as strictly as any body. The fault's pointers begin at the
// item.
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

// UnmarshalJSON keeps the items as they are.
func (e *Each[T]) UnmarshalJSON(raw []byte) error { return json.Unmarshal(raw, &e.items) }

// Schema is a list of T's.
func (Each[T]) Schema(registry huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: registry.Schema(reflect.TypeFor[T](), true, "")}
}

func (Each[T]) apart() {}

// apartIn is the pointer of the Each in an input's body.
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

// within are the faults of one item, as seen from there.
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

// onlyApart tells whether every fault of the body is one of an item.
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
