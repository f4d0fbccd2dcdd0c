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
		field.Bool("password_must_change").Default(false).Comment("before the account may do anything else"),
		field.Time("created_at").Immutable(),
		field.Time("updated_at"),
		field.Time("deleted_at").Optional().Nillable(),
		field.Time("email_verified_at").Optional().Nillable().Comment("or when the address was accepted without verification"),
	}
}

// Annotations name the table.
func (User) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("users")}
}

// Invitation allows one registration with an address. Its row is deleted when it is accepted.
type Invitation struct{ ent.Schema }

// Fields of invitations.
func (Invitation) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.String("email").Immutable(),
		field.String("email_key").Immutable().Comment("the address folded for comparison"),
		field.String("role").Immutable(),
		field.Bytes("hash").Optional().Nillable().Sensitive().Comment("of the token, from the first message on"),
		field.UUID("created_by", uuid.UUID{}).Immutable(),
		field.Time("created_at").Immutable(),
		field.Time("expires_at"),
	}
}

// Annotations name the table.
func (Invitation) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("invitations")}
}
