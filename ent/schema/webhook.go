package schema

import "github.com/orderflow-dev/orderflow/modules/notifications/schema"

// Webhook belongs to the notifications module.
type Webhook struct{ schema.Webhook }

// WebhookDelivery belongs to the notifications module.
type WebhookDelivery struct{ schema.WebhookDelivery }

// WebhookAttempt belongs to the notifications module.
type WebhookAttempt struct{ schema.WebhookAttempt }

// WebhookReplay belongs to the notifications module.
type WebhookReplay struct{ schema.WebhookReplay }
