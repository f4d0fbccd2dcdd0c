package web

import (
	"context"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/requestid"
)

const maxRequestID = 128

// RequestID gives every request an id: the X-Request-Id of the client if it consists of 1 to 128
// visible ASCII characters, otherwise a UUIDv7. The response, the logs and problems contain it.
func RequestID() fiber.Handler {
	return func(c *fiber.Ctx) error {
		ensureRequestID(c)
		return c.Next()
	}
}

// RequestIDFrom returns the id of the request, or "" outside of a request.
func RequestIDFrom(ctx context.Context) string { return requestid.From(ctx) }

// ensureRequestID also serves requests that fasthttp rejects before any middleware.
func ensureRequestID(c *fiber.Ctx) string {
	if id := RequestIDFrom(c.UserContext()); id != "" {
		return id
	}
	id := c.Get(fiber.HeaderXRequestID)
	if !saneID(id) {
		id = newID()
	}
	c.SetUserContext(requestid.With(c.UserContext(), id))
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
