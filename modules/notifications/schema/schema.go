// Package schema describes the tables of the notifications module for ent.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
)

// Notification is an event in the inbox of a user.
type Notification struct{ ent.Schema }

// Fields of notifications.
func (Notification) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.UUID("order_id", uuid.UUID{}).Immutable(),
		field.Int64("version").Immutable(),
		field.String("type").Immutable(),
		field.Time("at").Immutable(),
		field.Time("read_at").Optional().Nillable(),
	}
}

// Annotations name the table.
func (Notification) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("notifications")}
}
