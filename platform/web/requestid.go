package web

import (
	"context"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/requestid"
)

const maxRequestID = 128

const headerClientRequestID = "X-Client-Request-Id"

// RequestID gives every request an id, a UUIDv7. The response, the logs, the audit trail and
// problems contain it. An X-Request-Id of the client that consists of 1 to 128 visible ASCII
// characters stands beside it, in the log and as X-Client-Request-Id in the response: in its place,
// a client could give its requests the id of another's (ASVS 16.4.1). With TrustTraces, the id of
// the client is the id of the request.
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
	id := newID()
	if sent := c.Get(fiber.HeaderXRequestID); saneID(sent) {
		if trustsTraces(c) {
			id = sent
		} else {
			c.SetUserContext(context.WithValue(c.UserContext(), clientIDKey{}, sent))
		}
		c.Set(headerClientRequestID, sent)
	}
	c.SetUserContext(requestid.With(c.UserContext(), id))
	c.Set(fiber.HeaderXRequestID, id)
	return id
}

type clientIDKey struct{}

// clientRequestID returns the id that the client gave to its request, or "".
func clientRequestID(ctx context.Context) string {
	id, _ := ctx.Value(clientIDKey{}).(string)
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
