package schema

import "orderflow/modules/orders/schema"

// Order belongs to the orders module.
type Order struct{ schema.Order }
