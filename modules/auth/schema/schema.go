// Package schema describes the tables of the auth module for ent.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
)

// Session is one sign-in and the family of refresh tokens that came of it.
type Session struct{ ent.Schema }

// Fields of sessions.
func (Session) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.String("user_agent").Default(""),
		field.String("address").Default(""),
		field.Time("created_at").Immutable(),
		field.Time("last_used_at"),
		field.Time("expires_at"),
		field.Time("ended_at").Optional().Nillable(),
		field.String("end_reason").Optional().Nillable(),
		field.Time("confirmed_at").Optional().Nillable(),
	}
}

// Annotations name the table.
func (Session) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("sessions")}
}
