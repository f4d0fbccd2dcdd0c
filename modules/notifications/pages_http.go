package notifications

import (
	"context"
	"net/http"
	"time"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) pageRoute(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/events", Name: "list-events", Tag: tag, Role: identity.User, Scope: identity.EventsRead,
		Summary: "Read events page by page", Errors: []int{http.StatusForbidden},
		Doc: "The same events in the same order, with the same cursors, as the socket gives. Without `after` it begins with the oldest " +
			"that are kept for resuming. There is always a `nextCursor`: give it back as `after`, at once or later, also to the socket or the " +
			"stream. With `wait`, a request that finds nothing waits that long for something to happen; it is 401 when the session or key ends meanwhile. " +
			"429 `too-many-streams` when 20 requests of the account wait on this node, and `too-many-reads` when too many of them wait for each other. " +
			"Of orders that were deleted, what people wrote is left out; with `orderId` such an order has no events but, behind `after`, `order.deleted`.",
	}, m.listEvents)
}

type pageInput struct {
	Narrow
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most"`
	Wait  int `query:"wait" minimum:"0" maximum:"20" default:"0" doc:"Seconds to wait for something to happen"`
}

// EventPage is a page of the event log.
type EventPage struct {
	Data       []events.Message `json:"data"`
	NextCursor string           `json:"nextCursor" doc:"Give it back as after"`
	Reset      bool             `json:"reset,omitzero" doc:"The cursor cannot be resumed, as it is too old or of an event that the database has lost: read afresh what you need, and go on from nextCursor"`
}

type pageOutput struct {
	Body EventPage
}

func (m *Module) listEvents(ctx context.Context, in *pageInput) (*pageOutput, error) {
	page, err := m.page(ctx, identity.MustFromContext(ctx), in.asked(), in.Limit, time.Duration(in.Wait)*time.Second)
	if err != nil {
		return nil, err
	}
	out := &pageOutput{}
	out.Body.Data = make([]events.Message, len(page.Events))
	for i, e := range page.Events {
		out.Body.Data[i] = e.Message()
	}
	out.Body.NextCursor, out.Body.Reset = page.Next.String(), page.Reset
	return out, nil
}
