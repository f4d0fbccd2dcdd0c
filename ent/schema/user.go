package schema

import "orderflow/modules/users/schema"

// User belongs to the users module.
type User struct{ schema.User }
