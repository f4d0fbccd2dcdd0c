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

// ItemwiseList is a list in a body whose items are validated separately. The OpenAPI document shows a list
// of T. If only items are invalid, the handler runs, and Read returns for each item the error that
// a request with this item alone would get. If there are more errors than are collected
// (mostFaults), the whole request is rejected. A body has at most one ItemwiseList, as a direct member.
type ItemwiseList[T any] struct{ items []jsontext.Value }

// Len returns the number of items, valid or not.
func (e ItemwiseList[T]) Len() int { return len(e.items) }

// Read decodes an item as strictly as a body. The pointers in its fault are relative to the item.
func (e ItemwiseList[T]) Read(ctx context.Context, i int) (item T, err error) {
	raw := e.items[i]
	if r := requestFrom(ctx); r != nil {
		if r.rawItems != nil {
			raw = r.rawItems[i] // e was made from the outline
		}
		if fields := r.itemFaults(i); len(fields) > 0 {
			return item, fault.Invalid(fields...)
		}
	}
	if err := decodeInto(raw, &item); err != nil {
		return item, fault.Invalid(fieldFromText(err.Error())).WithCause(err)
	}
	return item, nil
}

// UnmarshalJSON stores the items without decoding them.
func (e *ItemwiseList[T]) UnmarshalJSON(raw []byte) error { return json.Unmarshal(raw, &e.items) }

// Schema returns the schema of a list of T.
func (ItemwiseList[T]) Schema(registry huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: registry.Schema(reflect.TypeFor[T](), true, "")}
}

func (ItemwiseList[T]) apart() {}

// itemwiseIn returns the pointer of the ItemwiseList in the body of an input, or "".
func itemwiseIn(input reflect.Type) string {
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

// itemFaults returns the errors of one item, with pointers relative to it.
func (r *request) itemFaults(i int) []fault.Field {
	if r.items == nil {
		r.items = map[string][]fault.Field{}
		for _, f := range sortAndDeduplicate(r.body) {
			if rest, inside := strings.CutPrefix(f.Pointer, r.plan.itemwise+"/"); inside {
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

// onlyItemFaults reports whether every error of the body is in an item.
func (r *request) onlyItemFaults() bool {
	if r.plan == nil || r.plan.itemwise == "" || r.more {
		return false
	}
	for _, f := range r.body {
		if !strings.HasPrefix(f.Pointer, r.plan.itemwise+"/") {
			return false
		}
	}
	return true
}
