package notifications

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/reads"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const (
	maxWait = 20 * time.Second
	// How much of the log one request looks through for events of the types asked for.
	lookThrough = 10
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

// Narrow is embedded in the input of every reader of events.
type Narrow struct {
	After   string   `query:"after" maxLength:"100" doc:"Resume behind this cursor"`
	Types   []string `query:"types,explode" maxItems:"50" maxLength:"1000" doc:"Only these types; repeat it or separate by commas"`
	OrderID string   `query:"orderId" format:"uuid" doc:"Only this order"`
	UserID  string   `query:"userId" format:"uuid" doc:"Administrators only: whose orders"`
}

func (n Narrow) asked() asked {
	return asked{after: n.After, types: n.Types, order: n.OrderID, user: n.UserID}
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
	caller := identity.Must(ctx)
	f, err := m.filter(caller, in.asked())
	if err != nil {
		return nil, err
	}
	out := &pageOutput{}
	out.Body.Data = []events.Message{}
	if !f.resume {
		err = m.turn(reads.Page, caller.UserID)(ctx, func() (err error) {
			f.at, err = m.events.Since(ctx, time.Now().Add(time.Minute-m.keep))
			return err
		})
		if err != nil {
			return nil, err
		}
	} else if gone, err := m.events.Gone(ctx, f.at, f.room, m.keep); err != nil {
		return nil, err
	} else if gone {
		return m.resetPage(ctx)
	}

	p := &page{filter: f, log: m.events, limit: in.Limit, turn: m.turn(reads.Page, caller.UserID)}
	err = m.fill(ctx, p, caller, time.Duration(in.Wait)*time.Second)
	if errors.Is(err, events.ErrRewritten) {
		return m.resetPage(ctx)
	}
	if err != nil {
		return nil, err
	}
	// Reading and waiting take time, in which the caller may have lost its rights. One with
	// another role than before begins again where it was.
	if same, err := m.unchanged(ctx, caller); err != nil {
		return nil, err
	} else if !same {
		p.at, p.list = f.at, nil
	}
	for _, e := range p.list {
		out.Body.Data = append(out.Body.Data, e.Message())
	}
	out.Body.NextCursor = p.at.String()
	return out, nil
}

// resetPage answers a request whose cursor is not of this log, or no longer.
func (m *Module) resetPage(ctx context.Context) (*pageOutput, error) {
	// A poll that has waited may be past the deadline of its request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.limits.readWithin)
	defer cancel()

	head, err := m.events.Head(ctx)
	if err != nil {
		return nil, err
	}
	out := &pageOutput{}
	out.Body.Data, out.Body.Reset, out.Body.NextCursor = []events.Message{}, true, head.String()
	return out, nil
}

// fill reads a page, and waits for one when there is nothing to read.
func (m *Module) fill(ctx context.Context, p *page, caller identity.Caller, wait time.Duration) error {
	if wait == 0 {
		return p.read(ctx)
	}
	if err := m.readable(ctx); err != nil {
		return err
	}
	// Joined first, so that nothing happens unheard between reading and waiting. The
	// request's deadline is for reading.
	slot, err := m.connections.wait(caller.UserID)
	if err != nil {
		return err
	}
	bell := m.newStream(caller, p.filter)
	bell.slot = slot
	defer bell.Close()
	if err := m.hub.join(bell.subscriber); err != nil {
		return nil // the server is stopping: an empty page, and the next one is read elsewhere
	}
	bell.joined = true
	bell.queue.drain()
	if same, err := m.unchanged(ctx, caller); err != nil || !same {
		return err // it changed before the hub could tell this poll
	}

	until := time.NewTimer(min(wait, maxWait))
	defer until.Stop()
	for {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.limits.readWithin)
		err := p.read(limited)
		cancel()
		if err != nil || len(p.list) > 0 || bell.ctx.Err() != nil {
			return err
		}
		select {
		case <-until.C:
			return nil
		case <-bell.bell:
			bell.queue.drain()
		}
	}
}

// unchanged asks whether the caller's credential still gives the rights that the request
// came with. One that is over is an Unauthenticated fault.
func (m *Module) unchanged(ctx context.Context, caller identity.Caller) (bool, error) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.limits.readWithin)
	defer cancel()
	now, err := m.sessions.Standing(limited, caller.Credential())
	return now == caller, err
}

// page is what one request reads.
type page struct {
	filter
	log   *events.Log
	limit int
	turn  turn
	list  []events.Event
}

// read goes on from where the page is, until it is full or nothing more is there.
func (p *page) read(ctx context.Context) error {
	for range lookThrough {
		var got events.Page
		err := p.turn(ctx, func() (err error) {
			got, err = p.page(ctx, p.log, p.at, max(p.limit, 100))
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range got.Events {
			p.at = e.Cursor
			if p.wants(e.Type, e.OrderID) {
				p.list = append(p.list, e)
			}
			if len(p.list) == p.limit {
				return nil
			}
		}
		p.at = got.Next // behind what is not shown, too
		if !got.Full {
			return nil
		}
	}
	return nil
}
