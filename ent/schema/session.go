package schema

import "orderflow/modules/auth/schema"

// Session belongs to the auth module.
type Session struct{ schema.Session }
