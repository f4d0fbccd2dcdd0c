package schema

import "github.com/orderflow-dev/orderflow/modules/auth/schema"

// Session belongs to the auth module.
type Session struct{ schema.Session }
