package notifications

import (
	"cmp"
	"context"
	"net/http"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) streamRoute(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: streamPath, Name: "event-stream", Tag: tag, Role: identity.User, Scope: identity.EventsRead,
		Summary: "Stream events as Server-Sent Events", Produces: "text/event-stream",
		Errors: []int{http.StatusForbidden},
		Doc: "The same events, order and cursors as on the socket. An event is an unnamed message " +
			"with its cursor as the id, so that an `EventSource` resumes by itself. Other messages have a name: `ready`, " +
			"`reset`, `notifications.unread`, and finally `close` with the code with which a socket would be closed. `Last-Event-ID` " +
			"takes precedence over `after`. A ticket is valid for one connection. 429 `too-many-streams` as for the socket.",
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
	return web.NewStream(s, web.StreamOptions{
		ContentType: "text/event-stream; charset=utf-8", WriteTimeout: m.limits.writeWithin, Endless: true, Log: m.log,
	}), nil
}
