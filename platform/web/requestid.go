package web

import (
	"context"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
)

type requestIDKey struct{}

const maxRequestID = 128

// RequestID gives every request an id: the caller's X-Request-Id when it is 1 to
// 128 visible ASCII characters, else a UUIDv7. The answer carries it, and so do
// the logs and the problem document.
func RequestID() fiber.Handler {
	return func(c *fiber.Ctx) error {
		ensureRequestID(c)
		return c.Next()
	}
}

// RequestIDFrom returns the id, or "" outside of a request.
func RequestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// ensureRequestID also serves requests that fasthttp refuses before any
// middleware has seen them.
func ensureRequestID(c *fiber.Ctx) string {
	if id := RequestIDFrom(c.UserContext()); id != "" {
		return id
	}
	id := c.Get(fiber.HeaderXRequestID)
	if !saneID(id) {
		id = newID()
	}
	c.SetUserContext(context.WithValue(c.UserContext(), requestIDKey{}, id))
	c.Set(fiber.HeaderXRequestID, id)
	return id
}

func saneID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	return id.String()
}
