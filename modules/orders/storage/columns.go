package storage

import (
	"encoding/json"
	"fmt"
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
	scan          func(*ent.Order) any   // where to read it to
	values        func([]*ent.Order) any // one array for many rows, as unnest takes it
}

// rowColumns lists every column. What is written at insert only never changes; what
// is written at update only starts with the default of the table.
var rowColumns = []column{
	plain("id", "uuid", atInsert, func(o *ent.Order) *uuid.UUID { return &o.ID }),
	plain("user_id", "uuid", atInsert, func(o *ent.Order) *uuid.UUID { return &o.UserID }),
	plain("currency", "text", atInsert, func(o *ent.Order) *string { return &o.Currency }),
	plain("total", "bigint", atInsert, func(o *ent.Order) *int64 { return &o.Total }),
	plain("on_shortage", "text", atInsert, func(o *ent.Order) *string { return &o.OnShortage }),
	plain("payment_method", "text", atInsert, func(o *ent.Order) **string { return &o.PaymentMethod }),
	plain("reference", "text", atInsert, func(o *ent.Order) **string { return &o.Reference }),
	plain("note", "text", atInsert, func(o *ent.Order) **string { return &o.Note }),
	document("metadata", atInsert, func(o *ent.Order) any { return &o.Metadata }, func(o *ent.Order) *string { return text(o.Metadata) }),
	plain("created_at", "timestamptz", atInsert, func(o *ent.Order) *time.Time { return &o.CreatedAt }),
	plain("updated_at", "timestamptz", atInsert|atUpdate, func(o *ent.Order) *time.Time { return &o.UpdatedAt }),
	plain("version", "bigint", atInsert|atUpdate, func(o *ent.Order) *int64 { return &o.Version }),
	plain("status", "text", atInsert|atUpdate, func(o *ent.Order) *string { return &o.Status }),
	plain("due_at", "timestamptz", atInsert|atUpdate, func(o *ent.Order) **time.Time { return &o.DueAt }),
	plain("reserved_until", "timestamptz", atUpdate, func(o *ent.Order) **time.Time { return &o.ReservedUntil }),
	plain("payment_status", "text", atUpdate, func(o *ent.Order) *string { return &o.PaymentStatus }),
	plain("captured", "bigint", atUpdate, func(o *ent.Order) *int64 { return &o.Captured }),
	plain("refunded", "bigint", atUpdate, func(o *ent.Order) *int64 { return &o.Refunded }),
	plain("refunding", "bigint", atUpdate, func(o *ent.Order) *int64 { return &o.Refunding }),
	plain("tracking", "text", atUpdate, func(o *ent.Order) **string { return &o.Tracking }),
	plain("held_from", "text", atUpdate, func(o *ent.Order) **string { return &o.HeldFrom }),
	plain("reason", "text", atUpdate, func(o *ent.Order) **string { return &o.Reason }),
	plain("failure_code", "text", atUpdate, func(o *ent.Order) **string { return &o.FailureCode }),
	plain("failure_detail", "text", atUpdate, func(o *ent.Order) **string { return &o.FailureDetail }),
	document("failure_skus", atUpdate, func(o *ent.Order) any { return &o.FailureSkus }, func(o *ent.Order) *string { return jsonList(o.FailureSkus) }),
	plain("stalled", "text", atUpdate, func(o *ent.Order) **string { return &o.Stalled }),
	plain("deleted_at", "timestamptz", atUpdate, func(o *ent.Order) **time.Time { return &o.DeletedAt }),
}

func plain[T any](name, sqlType string, written phase, field func(*ent.Order) *T) column {
	return column{
		name: name, sqlType: sqlType, written: written,
		scan: func(o *ent.Order) any { return field(o) },
		values: func(rows []*ent.Order) any {
			list := make([]T, len(rows))
			for i, row := range rows {
				list[i] = *field(row)
			}
			return list
		},
	}
}

// document is a JSON column, which goes out as text.
func document(name string, written phase, scan func(*ent.Order) any, render func(*ent.Order) *string) column {
	return column{
		name: name, sqlType: "json", written: written, scan: scan,
		values: func(rows []*ent.Order) any {
			list := make([]*string, len(rows))
			for i, row := range rows {
				list[i] = render(row)
			}
			return list
		},
	}
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
