package notifications

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const eventStream = "text/event-stream; charset=utf-8"

func (m *Module) streamRoute(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: streamPath, Name: "event-stream", Tag: tag, Role: identity.User, Scope: identity.EventsRead,
		Summary: "Stream events as Server-Sent Events", Produces: "text/event-stream", ProducesSchema: streamMessageSchema,
		Errors: []int{http.StatusForbidden},
		Doc: "The same events, order and cursors as on the socket. An event is an unnamed message " +
			"with its cursor as the id, so that an `EventSource` resumes by itself. Other messages have a name: `ready`, " +
			"`reset`, `notifications.unread`, and finally `close` with the code with which a socket would be closed. `Last-Event-ID` " +
			"takes precedence over `after`. On a stream that was opened with a ticket, the id is the cursor, `~` and a token. With the ticket " +
			"in the URL and such an id in `Last-Event-ID`, which is what an `EventSource` sends when it reconnects, the stream opens again, on any node, as long as the session or API key is valid. " +
			"If such a request fails with an error that may pass (429 or 5xx), the response is an empty stream that tells the `EventSource` when to reconnect. In every other case a ticket is valid for one connection. 429 `too-many-streams` as for the socket.",
		Codes: []string{"two-credentials", "invalid-ticket", "too-many-streams"},
	}, m.getStream)
}

type streamInput struct {
	Ticket      string `query:"ticket" maxLength:"200" doc:"A ticket in place of the Authorization header"`
	LastEventID string `header:"Last-Event-ID" maxLength:"100" doc:"Resume after this cursor"`
	Narrow
}

func (m *Module) getStream(ctx context.Context, in *streamInput) (*web.Stream, error) {
	if err := m.readable(ctx); err != nil {
		return nil, err
	}
	in.After = cmp.Or(in.LastEventID, in.After)
	caller := identity.MustFromContext(ctx)
	f, err := m.filter(caller, in.asked())
	if err != nil {
		return nil, err
	}
	slot, err := m.connections.stream(caller.UserID)
	if err != nil {
		return nil, err
	}
	s := m.newStream(caller, f)
	s.slot = slot
	if in.Ticket != "" {
		s.resumption = resumptionMark + m.sessions.ResumptionToken(in.Ticket, caller)
	}
	return web.NewStream(s, web.StreamOptions{
		ContentType: eventStream, WriteTimeout: m.limits.writeWithin, Endless: true, Log: m.log,
	}), nil
}

// reconnectLater replaces an error that may pass, such as 429 or 503, by a stream that ends at once
// and tells the EventSource when to reconnect. An EventSource reconnects after a complete stream or a
// network error, but never after another status than 200 (HTML standard, section 9.2.2).
func reconnectLater(c *fiber.Ctx) {
	res := c.Response()
	if status := res.StatusCode(); status != http.StatusTooManyRequests && status < http.StatusInternalServerError {
		return
	}
	wait, err := strconv.Atoi(string(res.Header.Peek(fiber.HeaderRetryAfter)))
	if err != nil || wait < minReconnect {
		wait = minReconnect
	}
	c.Set(fiber.HeaderContentType, eventStream)
	c.Status(http.StatusOK).Context().SetBodyString(fmt.Sprintf("retry: %d\n\n", 1000*wait+rand.IntN(1000))) //nolint:gosec // jitter, not a secret
}

// minReconnect is the minimum number of seconds until an EventSource reconnects after an error.
const minReconnect = 2
