package events

import "github.com/google/uuid"

// PageQuery is the SQL of a page, for EXPLAIN.
func PageQuery(user uuid.UUID, c Cursor, limit int) (string, []any) { return pageQuery(user, c, limit) }
