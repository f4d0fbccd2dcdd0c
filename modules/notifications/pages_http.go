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
		Summary: "List events, oldest first", Errors: []int{http.StatusForbidden},
		Doc: "The same events, order and cursors as on the socket. Without `after`, as with `after=start`, the list begins with the oldest event that is kept for " +
			"resuming. The response always has a `nextCursor`, which can be used as `after` at any time, also for the socket and the " +
			"stream. With `wait`, a request that finds no events waits for new ones (long polling); it returns 401 if the session or key ends meanwhile. " +
			"429 `too-many-streams` if 20 requests of the account are waiting on this node, and `too-many-reads` if too many of its reads are queued. " +
			"Texts written by people are removed from the events of deleted orders; with `orderId`, a deleted order has only the event `order.deleted`, and only after `after`.",
		Codes: []string{"too-many-streams", "too-many-reads"},
	}, m.listEvents)
}

type pageInput struct {
	Narrow
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"The maximum number of items"`
	Wait  int `query:"wait" minimum:"0" maximum:"20" default:"0" doc:"Seconds to wait for new events"`
}

// EventPage is a page of the event log.
type EventPage struct {
	Data       []events.Message `json:"data"`
	NextCursor string           `json:"nextCursor" doc:"The value of after for the next request"`
	Reset      bool             `json:"reset,omitzero" doc:"The cursor cannot be resumed, because it is too old or the database no longer has its event: read the current state and continue from nextCursor"`
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
