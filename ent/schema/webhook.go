package schema

import "github.com/orderflow-dev/orderflow/modules/webhooks/schema"

// Webhook belongs to the webhooks module.
type Webhook struct{ schema.Webhook }

// WebhookDelivery belongs to the webhooks module.
type WebhookDelivery struct{ schema.WebhookDelivery }

// WebhookAttempt belongs to the webhooks module.
type WebhookAttempt struct{ schema.WebhookAttempt }

// WebhookReplay belongs to the webhooks module.
type WebhookReplay struct{ schema.WebhookReplay }
