package schema

import "github.com/orderflow-dev/orderflow/modules/users/schema"

// User belongs to the users module.
type User struct{ schema.User }

// Invitation belongs to the users module.
type Invitation struct{ schema.Invitation }
