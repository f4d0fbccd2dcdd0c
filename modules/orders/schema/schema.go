// Package schema describes the tables of the orders module for ent.
package schema

import (
	"encoding/json"

	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
)

// Order is the present state of an order; its events are how it came to be.
type Order struct{ ent.Schema }

// Fields of orders.
func (Order) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.String("status"),
		field.String("payment_status").Default("NONE"),
		field.String("currency").Immutable(),
		field.Int64("total").Immutable(),
		field.String("on_shortage").Default("fail").Immutable(),
		field.String("payment_method").Optional().Nillable().Immutable(),
		field.Int64("captured").Default(0),
		field.Int64("refunded").Default(0),
		field.Int64("refunding").Default(0),
		field.String("reference").Optional().Nillable().Immutable(),
		field.String("note").Optional().Nillable().Immutable(),
		field.JSON("metadata", json.RawMessage{}).Optional().Immutable(),
		field.String("tracking").Optional().Nillable(),
		field.Int64("version"),
		field.Int64("round").Default(1),
		field.Int64("steps").Default(0),
		field.String("held_from").Optional().Nillable(),
		field.String("reason").Optional().Nillable(),
		field.String("failure_code").Optional().Nillable(),
		field.String("failure_detail").Optional().Nillable(),
		field.Strings("failure_skus").Optional(),
		field.String("stalled").Optional().Nillable(),
		field.Time("reserved_until").Optional().Nillable(),
		field.Time("due_at").Optional().Nillable(),
		field.Time("created_at").Immutable(),
		field.Time("updated_at"),
		field.Time("deleted_at").Optional().Nillable(),
	}
}

// Annotations name the table.
func (Order) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("orders")}
}
