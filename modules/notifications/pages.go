package notifications

import (
	"context"
	"errors"
	"net/http"
	"time"

	"orderflow/platform/events"
	"orderflow/platform/identity"
	"orderflow/platform/web"
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
			"stream. With `wait`, a request that finds nothing waits that long for something to happen.",
	}, m.getPage)
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

type pageOutput struct {
	Body struct {
		Data       []events.Message `json:"data"`
		NextCursor string           `json:"nextCursor" doc:"Give it back as after"`
		Reset      bool             `json:"reset,omitzero" doc:"The cursor cannot be resumed, as it is too old or of an event that the database has lost: read afresh what you need, and go on from nextCursor"`
	}
}

func (m *Module) getPage(ctx context.Context, in *pageInput) (*pageOutput, error) {
	caller := identity.Must(ctx)
	f, err := m.filter(caller, in.asked())
	if err != nil {
		return nil, err
	}
	out := &pageOutput{}
	out.Body.Data = []events.Message{}
	if !f.resume {
		if f.at, err = m.Log.Since(ctx, time.Now().Add(time.Minute-m.Keep)); err != nil {
			return nil, err
		}
	} else if gone, err := m.Log.Gone(ctx, f.at, f.room, m.Keep); err != nil {
		return nil, err
	} else if gone {
		return m.resetPage(ctx)
	}

	p := &page{filter: f, log: m.Log, limit: in.Limit}
	err = m.fill(ctx, p, caller, time.Duration(in.Wait)*time.Second)
	if errors.Is(err, events.ErrRewritten) {
		return m.resetPage(ctx)
	}
	if err != nil {
		return nil, err
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

	head, err := m.Log.Head(ctx)
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
	bell := m.newStream(caller, p.filter)
	if err := m.hub.join(bell.follower); err != nil {
		return nil // the server is stopping: an empty page, and the next one is read elsewhere
	}
	bell.joined = true
	defer bell.Close()
	_, _ = bell.queue.take()

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
			bell.queue.take()
		}
	}
}

// page is what one request reads.
type page struct {
	filter
	log   *events.Log
	limit int
	list  []events.Event
}

// read goes on from where the page is, until it is full or nothing more is there.
func (p *page) read(ctx context.Context) error {
	for range lookThrough {
		got, err := p.page(ctx, p.log, p.at, max(p.limit, 100))
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
		if !got.Full {
			return nil
		}
	}
	return nil
}
