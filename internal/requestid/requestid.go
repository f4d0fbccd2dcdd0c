// Package requestid carries the id of a request in a context. The HTTP layer sets it
// (web.RequestID), so that the audit trail can read it without depending on HTTP.
package requestid

import "context"

type contextKey struct{}

// With returns a context from which From reads id.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// From returns the id of the request, or "" if the context belongs to no request.
func From(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}
