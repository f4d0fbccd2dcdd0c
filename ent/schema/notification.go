package schema

import "github.com/orderflow-dev/orderflow/modules/notifications/schema"

// Notification belongs to the notifications module.
type Notification struct{ schema.Notification }
