package schema

import "github.com/orderflow-dev/orderflow/modules/inventory/schema"

// Movement belongs to the inventory module.
type Movement struct{ schema.Movement }
