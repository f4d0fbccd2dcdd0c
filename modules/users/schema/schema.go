// Package schema describes the tables of the users module for ent.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
)

// User is an account. Deleting one only sets deleted_at; its e-mail is free again.
type User struct{ ent.Schema }

// Fields of users.
func (User) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.String("email"),
		field.String("email_key").Comment("the address folded for comparison"),
		field.String("name").Default(""),
		field.String("role").Default("user"),
		field.Bool("active").Default(true),
		field.String("password_hash").Sensitive(),
		field.Int64("password_version").Default(1).Comment("goes up when the password changes"),
		field.Time("created_at").Immutable(),
		field.Time("updated_at"),
		field.Time("deleted_at").Optional().Nillable(),
	}
}

// Annotations name the table.
func (User) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("users")}
}
