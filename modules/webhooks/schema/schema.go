// Package schema describes the tables of the webhooks module for ent.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
)

// Webhook is an endpoint to which events are delivered.
type Webhook struct{ ent.Schema }

// Fields of webhooks.
func (Webhook) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("owner_id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.String("url"),
		field.String("description").Default(""),
		field.Strings("types"),
		field.String("ordering"),
		field.Bool("enabled").Default(true),
		field.String("disabled_reason").Optional().Nillable(),
		field.Time("disabled_at").Optional().Nillable(),
		field.Bytes("secret").Sensitive(),
		field.Bytes("previous_secret").Optional().Nillable().Sensitive(),
		field.Time("previous_until").Optional().Nillable(),
		field.Int64("last_number").Default(0),
		field.Time("failing_since").Optional().Nillable(),
		field.UUID("key_id", uuid.UUID{}).Optional().Nillable(),
		field.Strings("key_scopes").Optional(),
		field.Time("created_at").Immutable(),
		field.Time("updated_at"),
		field.Time("deleted_at").Optional().Nillable(),
	}
}

// Annotations name the table.
func (Webhook) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("webhooks")}
}

// WebhookDelivery is the delivery of one event to one endpoint.
type WebhookDelivery struct{ ent.Schema }

// Fields of deliveries.
func (WebhookDelivery) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("webhook_id", uuid.UUID{}).Immutable(),
		field.Int64("number").Immutable(),
		field.UUID("order_id", uuid.UUID{}).Immutable(),
		field.Int64("version").Immutable(),
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.String("type").Immutable(),
		field.String("status"),
		field.Int64("tries").Default(0),
		field.Time("due_at").Optional().Nillable(),
		field.UUID("claim", uuid.UUID{}).Optional().Nillable(),
		field.Time("claimed_until").Optional().Nillable(),
		field.Time("created_at").Immutable(),
		field.Time("settled_at").Optional().Nillable(),
	}
}

// Annotations name the table.
func (WebhookDelivery) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("webhook_deliveries")}
}

// WebhookAttempt is one try of a delivery.
type WebhookAttempt struct{ ent.Schema }

// Fields of attempts.
func (WebhookAttempt) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("delivery_id", uuid.UUID{}).Immutable(),
		field.Time("at").Immutable(),
		field.Int64("duration_ms").Immutable(),
		field.Int64("status_code").Optional().Nillable().Immutable(),
		field.String("error").Optional().Nillable().Immutable(),
		field.String("answer").Immutable(),
	}
}

// Annotations name the table.
func (WebhookAttempt) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("webhook_attempts")}
}

// WebhookReplay is a number of deliveries that are sent again.
type WebhookReplay struct{ ent.Schema }

// Fields of replays.
func (WebhookReplay) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("webhook_id", uuid.UUID{}).Immutable(),
		field.UUID("key_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.Int64("from_number").Immutable(),
		field.Int64("to_number").Immutable(),
		field.Strings("types").Immutable(),
		field.Strings("statuses").Immutable(),
		field.Int64("rate").Immutable(),
		field.String("status"),
		field.Int64("position"),
		field.Int64("sent").Default(0),
		field.Time("due_at").Optional().Nillable(),
		field.Time("created_at").Immutable(),
		field.Time("finished_at").Optional().Nillable(),
	}
}

// Annotations name the table.
func (WebhookReplay) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("webhook_replays")}
}
