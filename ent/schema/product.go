package schema

import "github.com/orderflow-dev/orderflow/modules/inventory/schema"

// Product belongs to the inventory module.
type Product struct{ schema.Product }
