package notifications

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const (
	tag        = "Events"
	socketPath = "/v1/events/ws"
	streamPath = "/v1/events/stream"
	socketKey  = "socket"

	lastEventID = "Last-Event-ID"
	// resumptionMark separates the cursor from the resumption token in the ids of a stream that was
	// opened with a ticket. Neither contains it.
	resumptionMark = "~"
)

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/events/tickets", Name: "create-ticket", Tag: tag, Role: identity.User, Scope: identity.EventsRead,
		Summary: "Create a ticket for a socket or stream", Status: http.StatusCreated,
		Doc: "For clients that cannot set headers of a WebSocket or an event stream, such as browsers. A ticket is valid for one connection within 30 seconds. " +
			"An `EventSource` that has received a message reconnects with the same URL by itself, for as long as the session or API key is valid.",
	}, m.createTicket)

	m.socketRoute(api)
	m.streamRoute(api)
	m.pageRoute(api)
	m.inboxRoutes(api)
	api.SetSchemas(m.openAPISchemas)
}

func (m *Module) socketRoute(api *web.API) {
	upgrade := websocket.New(func(conn *websocket.Conn) {
		s, _ := conn.Locals(socketKey).(*socket)
		s.run(conn)
	}, websocket.Config{
		// Small buffers, because an idle socket keeps them; the larger one is shared.
		ReadBufferSize: 256, WriteBufferSize: 4 << 10, WriteBufferPool: &sync.Pool{},
		// The library's default handler would send the panic to the client.
		RecoverHandler: func(*websocket.Conn) { recovered(m.log, "socket handler") },
		// Origins are checked earlier, so that the response is a problem document.
	})
	api.Raw(web.Route{
		Method: http.MethodGet, Path: socketPath, Name: "event-socket", Tag: tag, Role: identity.User, Scope: identity.EventsRead,
		Summary: "Stream events over a WebSocket", Status: http.StatusSwitchingProtocols,
		Errors: []int{http.StatusForbidden, http.StatusUpgradeRequired},
		Doc: "Streams the events of your own orders, or of all orders for administrators. Every frame has a cursor; reconnect to any node with " +
			"`?after=<cursor>` to get all later events. `?after=start` begins with the oldest event that is kept for resuming; without `after` the stream begins now. If the cursor is too old, or the database no longer has its event after a " +
			"restore, the server sends a `reset` frame; it also sends one on an open socket when the database is restored to an earlier state. " +
			"`/asyncapi.json` describes the frames. 429 `too-many-streams` if the account has the maximum number of open sockets and streams " +
			"on this node (50).",
		Params: slices.Concat([]*huma.Param{
			parameter("ticket", "A ticket in place of the Authorization header", &huma.Schema{Type: "string", MaxLength: new(200)}),
		}, filterParams()),
		Codes: []string{"two-credentials", "invalid-ticket", "foreign-origin", "too-many-streams"},
	}, m.prepareSocket, upgrade)
}

// Ticket is a credential for one handshake of a socket or stream.
type Ticket struct {
	Ticket    string        `json:"ticket"`
	ExpiresAt jsontime.Time `json:"expiresAt"`
}

type ticketOutput struct {
	Body Ticket
}

func (m *Module) createTicket(ctx context.Context, _ *struct{}) (*ticketOutput, error) {
	ticket, expires, err := m.sessions.IssueTicket(ctx, identity.MustFromContext(ctx))
	if err != nil {
		return nil, err
	}
	var out ticketOutput
	out.Body.Ticket, out.Body.ExpiresAt = ticket, jsontime.At(expires)
	return &out, nil
}

// Credentials is a middleware that accepts a ticket for opening a socket or stream. It must run
// after the middleware of the Authorization header and before the routes. A request with both
// credentials is rejected without using the ticket, because the caller would be ambiguous (RFC
// 6750 section 2).
func (m *Module) Credentials() fiber.Handler {
	return func(c *fiber.Ctx) error {
		ticket := c.Query("ticket")
		if c.Path() != socketPath && c.Path() != streamPath || ticket == "" {
			return c.Next()
		}
		if c.Get(fiber.HeaderAuthorization) != "" {
			c.SetUserContext(identity.WithoutCaller(c.UserContext()))
			web.RejectCredential(c, fault.New(fault.KindUnauthenticated, "two-credentials", "Send either a ticket or the Authorization header, not both."))
			return c.Next()
		}
		_, token, resumes := strings.Cut(c.Get(lastEventID), resumptionMark)
		if resumes = resumes && c.Path() == streamPath; resumes {
			defer reconnectLater(c)
		}
		caller, err := m.callerOf(c.UserContext(), ticket, token, resumes)
		if err != nil {
			web.RejectCredential(c, err)
		} else {
			c.SetUserContext(identity.NewContext(c.UserContext(), caller))
		}
		return c.Next()
	}
}

// callerOf redeems the ticket, or resumes a stream with it.
func (m *Module) callerOf(ctx context.Context, ticket, token string, resumes bool) (identity.Caller, error) {
	if resumes {
		return m.sessions.ResumeTicket(ctx, ticket, token)
	}
	return m.sessions.RedeemTicket(ctx, ticket)
}

// prepareSocket makes all checks before the handshake, while an HTTP response is possible.
func (m *Module) prepareSocket(c *fiber.Ctx) error {
	// Prevents pages of other origins from opening sockets with a user's ticket (SPEC E2, ASVS
	// 5.0 4.4.2), because CORS does not apply to WebSockets.
	if web.Origins(m.origins).Classify(c) == web.ForeignOrigin {
		return web.Fail(c, fault.New(fault.KindForbidden, "foreign-origin", "This origin may not open a socket."))
	}
	if !websocket.IsWebSocketUpgrade(c) {
		return upgradeRequired(c)
	}
	if err := m.readable(c.UserContext()); err != nil {
		return web.Fail(c, err)
	}
	f, err := m.filterOf(c)
	if err != nil {
		return web.Fail(c, err)
	}
	caller := identity.MustFromContext(c.UserContext())
	slot, err := m.connections.stream(caller.UserID)
	if err != nil {
		return web.Fail(c, err)
	}
	upgraded := false
	defer func() {
		if !upgraded {
			slot.release()
		}
	}()
	request := c.Context()
	c.Locals(socketKey, &socket{
		subscriber: m.newSubscriber(caller, f), slot: slot,
		forget: func() {
			request.ResetUserValues()
			request.Request.Header = fasthttp.RequestHeader{}
			request.Response.Header = fasthttp.ResponseHeader{}
		},
	})
	if err := c.Next(); err != nil { // the handshake is incomplete or has another version
		return upgradeRequired(c)
	}
	upgraded = true
	slot.expire(m.limits.handshake)
	return nil
}

// readable waits until the tail knows its position.
func (m *Module) readable(ctx context.Context) error {
	if m.hub.isStopping() {
		return fault.Unavailable("This server", errStopping)
	}
	select {
	case <-m.hub.ready:
		return nil
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
	}
	return fault.Unavailable("The event log", nil)
}

func upgradeRequired(c *fiber.Ctx) error {
	c.Set(fiber.HeaderUpgrade, "websocket") // RFC 9110 section 15.5.22
	c.Set(fiber.HeaderSecWebSocketVersion, "13")
	return fiber.ErrUpgradeRequired
}
