package schema

import "github.com/orderflow-dev/orderflow/modules/orders/schema"

// Order belongs to the orders module.
type Order struct{ schema.Order }
