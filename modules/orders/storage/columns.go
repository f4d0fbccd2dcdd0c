package storage

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
)

// phase tells when a column is written.
type phase uint8

const (
	atInsert phase = 1 << iota
	atUpdate
)

// column is one column of orders. The list of columns generates the statements
// that lock, insert and update rows, so a column cannot be left out of one of
// them, and the order of their arguments cannot differ.
type column struct {
	name, sqlType string
	written       phase
	field         int // its index in ent.Order
}

// rowColumns lists every column, as the ent schema declares them.
var rowColumns = columnsOf(reflect.TypeFor[ent.Order]())

func columnsOf(row reflect.Type) []column {
	list := make([]column, len(ent.OrderColumns))
	for i, c := range ent.OrderColumns {
		at := fieldOf(row, c.Name)
		list[i] = column{name: c.Name, sqlType: sqlTypeOf(c.Name, row.Field(at).Type), written: phaseOf(c), field: at}
	}
	return list
}

// phaseOf decides when a column is written: an immutable one at insert only; one that
// the table has no value for at insert and at update; all others at update only, since
// new orders have the default of the table.
func phaseOf(c ent.Column) phase {
	switch {
	case c.Immutable:
		return atInsert
	case !c.Optional && !c.Default:
		return atInsert | atUpdate
	case c.Name == "due_at": // new orders have a deadline already
		return atInsert | atUpdate
	default:
		return atUpdate
	}
}

// fieldOf returns the index of the field that ent generated for a column.
func fieldOf(row reflect.Type, column string) int {
	for i := range row.NumField() {
		if name, _, _ := strings.Cut(row.Field(i).Tag.Get("json"), ","); name == column {
			return i
		}
	}
	panic("ent.Order has no field for the column " + column + "; run task generate")
}

func sqlTypeOf(column string, t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[uuid.UUID]():
		return "uuid"
	case reflect.TypeFor[string]():
		return "text"
	case reflect.TypeFor[int64]():
		return "bigint"
	case reflect.TypeFor[bool]():
		return "boolean"
	case reflect.TypeFor[time.Time]():
		return "timestamptz"
	case reflect.TypeFor[json.RawMessage](), reflect.TypeFor[[]string]():
		return "json"
	default:
		panic("column " + column + ": there is no SQL type for " + t.String())
	}
}

// scan returns where a row's column is read to. The row is an ent.Order.
func (c column) scan(row reflect.Value) any { return row.Field(c.field).Addr().Interface() }

// values returns one array with the column of many rows, as unnest takes it.
func (c column) values(rows []*ent.Order) any {
	if c.sqlType == "json" {
		return c.documents(rows)
	}
	of := reflect.TypeFor[ent.Order]().Field(c.field).Type
	list := reflect.MakeSlice(reflect.SliceOf(of), len(rows), len(rows))
	for i, row := range rows {
		list.Index(i).Set(reflect.ValueOf(row).Elem().Field(c.field))
	}
	return list.Interface()
}

// documents are the values of a JSON column, which go out as text.
func (c column) documents(rows []*ent.Order) []*string {
	list := make([]*string, len(rows))
	for i, row := range rows {
		switch document := c.scan(reflect.ValueOf(row).Elem()).(type) {
		case *json.RawMessage:
			list[i] = text(*document)
		case *[]string:
			list[i] = jsonList(*document)
		}
	}
	return list
}

func columnsAt(when phase) (list []column) {
	for _, c := range rowColumns {
		if c.written&when != 0 {
			list = append(list, c)
		}
	}
	return list
}

// each renders every column by a format whose verbs take its name.
func each(list []column, format string) string {
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = strings.ReplaceAll(format, "%", c.name)
	}
	return strings.Join(parts, ", ")
}

// unnest is the argument list of unnest, from $1 on.
func unnest(list []column) string {
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = fmt.Sprintf("$%d::%s[]", i+1, c.sqlType)
	}
	return strings.Join(parts, ", ")
}

func argsOf(list []column, rows []*ent.Order) []any {
	args := make([]any, len(list))
	for i, c := range list {
		args[i] = c.values(rows)
	}
	return args
}

func jsonList(list []string) *string {
	if list == nil {
		return nil
	}
	raw, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings always marshal
	}
	return text(raw)
}

func text(raw []byte) *string {
	if raw == nil {
		return nil
	}
	s := string(raw)
	return &s
}
