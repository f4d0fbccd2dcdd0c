package notifications

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"orderflow/platform/events"
	"orderflow/platform/fault"
	"orderflow/platform/identity"
	"orderflow/platform/web"
)

const (
	tag        = "Events"
	socketPath = "/v1/events/ws"
	socketKey  = "socket"
)

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/events/tickets", Name: "create-ticket", Tag: tag, Role: identity.User, Scope: identity.EventsRead,
		Summary: "Get a ticket for opening a socket", Status: http.StatusCreated,
		Doc: "For clients that cannot send a header with a WebSocket. Good for one connection within 30 seconds.",
	}, m.postTicket)

	upgrade := websocket.New(func(conn *websocket.Conn) {
		s, _ := conn.Locals(socketKey).(*socket)
		s.run(conn)
	}, websocket.Config{
		// Small, because an idle socket keeps them; the larger one is shared.
		ReadBufferSize: 256, WriteBufferSize: 4 << 10, WriteBufferPool: &sync.Pool{},
		RecoverHandler: m.recovered,
		// Origins are checked before, so that the answer is a problem document.
	})
	api.Raw(web.Route{
		Method: http.MethodGet, Path: socketPath, Name: "event-socket", Tag: tag, Role: identity.User, Scope: identity.EventsRead,
		Summary: "Stream events over a WebSocket", Status: http.StatusSwitchingProtocols,
		Errors: []int{http.StatusForbidden, http.StatusUpgradeRequired},
		Doc: "Streams your own orders' events, to administrators everybody's. Every frame has a cursor; reconnect with " +
			"`?after=<cursor>`, on any node, and nothing is missed. A cursor that is too old is answered by a `reset` frame.",
		Params: []*huma.Param{
			parameter("ticket", "A ticket, instead of the Authorization header", &huma.Schema{Type: "string", MaxLength: new(200)}),
			parameter("after", "Resume behind this cursor", &huma.Schema{Type: "string", MaxLength: new(100)}),
			parameter("types", "Only these types; repeat it or separate by commas", &huma.Schema{
				Type: "array", Items: &huma.Schema{Type: "string", MaxLength: new(1000)}, MaxItems: new(50)}),
			parameter("userId", "Administrators only: whose orders", &huma.Schema{Type: "string", Format: "uuid"}),
		},
	}, m.prepare, upgrade)
}

func parameter(name, doc string, schema *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Schema: schema}
}

type ticketOutput struct {
	Body struct {
		Ticket    string   `json:"ticket"`
		ExpiresAt web.Time `json:"expiresAt"`
	}
}

func (m *Module) postTicket(ctx context.Context, _ *struct{}) (*ticketOutput, error) {
	ticket, expires, err := m.Sessions.IssueTicket(ctx, identity.Must(ctx))
	if err != nil {
		return nil, err
	}
	var out ticketOutput
	out.Body.Ticket, out.Body.ExpiresAt = ticket, web.At(expires)
	return &out, nil
}

// Credentials accepts a ticket where a socket is opened. It belongs behind the
// middleware that reads the Authorization header and before the routes. A request
// with both is refused, and the ticket not used up: who would be calling (RFC 6750
// section 2)?
func (m *Module) Credentials() fiber.Handler {
	return func(c *fiber.Ctx) error {
		ticket := c.Query("ticket")
		if c.Path() != socketPath || ticket == "" {
			return c.Next()
		}
		if c.Get(fiber.HeaderAuthorization) != "" {
			c.SetUserContext(identity.Without(c.UserContext()))
			web.Refuse(c, fault.New(fault.Unauthenticated, "two-credentials", "Send a ticket or the Authorization header, not both."))
			return c.Next()
		}
		caller, err := m.Sessions.RedeemTicket(c.UserContext(), ticket)
		if err != nil {
			web.Refuse(c, err)
		} else {
			c.SetUserContext(identity.With(c.UserContext(), caller))
		}
		return c.Next()
	}
}

// prepare checks everything that can be refused while there is still an HTTP
// answer to give.
func (m *Module) prepare(c *fiber.Ctx) error {
	if !m.originAllowed(c) {
		return web.Fail(c, fault.New(fault.Forbidden, "foreign-origin", "Pages of this origin may not open a socket here."))
	}
	if !websocket.IsWebSocketUpgrade(c) {
		return upgradeRequired(c)
	}
	if m.hub.stopping() {
		return web.Fail(c, fault.Away("This server", errStopping))
	}
	select {
	case <-m.hub.ready:
	case <-time.After(2 * time.Second):
		return web.Fail(c, fault.Away("The event log", nil))
	}

	s := &socket{
		hub: m.hub, log: m.Log, out: m.Out, keep: m.Keep, limits: &m.limits,
		caller: identity.Must(c.UserContext()), stands: m.Sessions.Standing, queue: newQueue(m.limits.queue),
	}
	if err := s.choose(c); err != nil {
		return web.Fail(c, err)
	}
	c.Locals(socketKey, s)
	if err := c.Next(); err != nil { // a handshake that is incomplete, or of another version
		return upgradeRequired(c)
	}
	return nil
}

func upgradeRequired(c *fiber.Ctx) error {
	c.Set(fiber.HeaderUpgrade, "websocket") // RFC 9110 section 15.5.22
	c.Set(fiber.HeaderSecWebSocketVersion, "13")
	return fiber.ErrUpgradeRequired
}

// choose takes the room from the caller's identity and the filters from the query.
func (s *socket) choose(c *fiber.Ctx) error {
	s.room = s.caller.UserID
	if s.caller.IsAdmin() {
		s.room = uuid.Nil
	}
	if whose := c.Query("userId"); whose != "" {
		id, err := uuid.Parse(whose)
		switch {
		case err != nil || id == uuid.Nil: // which is everybody's room
			return badParameter("userId", "is not a user's id")
		case id != s.caller.UserID && !s.caller.IsAdmin():
			return fault.New(fault.Forbidden, "forbidden", "Only administrators may listen to the orders of others.")
		}
		s.room = id
	}

	for _, list := range c.Context().QueryArgs().PeekMulti("types") {
		for kind := range strings.SplitSeq(string(list), ",") {
			if kind = strings.TrimSpace(kind); kind != "" {
				s.types = append(s.types, kind)
			}
		}
	}
	if after := c.Query("after"); after != "" {
		cursor, err := events.ParseCursor(after)
		if err != nil {
			return err
		}
		s.at, s.resume = cursor, true
	}
	return nil
}

func badParameter(name, message string) error {
	e := fault.New(fault.Malformed, "malformed", "A parameter is not valid; see errors.")
	e.Fields = []fault.Field{{Pointer: "/query/" + name, Code: "format", Message: message}}
	return e
}

// recovered is the last resort; the library's own would send the reason to the client.
func (m *Module) recovered(*websocket.Conn) {
	if p := recover(); p != nil {
		m.Out.Error("socket handler panicked", "reason", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}
