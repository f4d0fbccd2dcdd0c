package notifications

import (
	"context"
	"errors"
	"time"

	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const (
	maxWait = 20 * time.Second
	// The number of events that one request examines for the requested types.
	lookThrough = 10
)

// eventPage is a page of the log for one caller.
type eventPage struct {
	Events []events.Event
	Next   events.Cursor // where the next page begins
	Reset  bool          // the caller's cursor cannot be resumed; continue from Next
}

// page reads events for a caller and, if requested, waits for new ones.
func (m *Module) page(ctx context.Context, caller identity.Caller, q asked, limit int, wait time.Duration) (eventPage, error) {
	f, err := m.filter(caller, q)
	if err != nil {
		return eventPage{}, err
	}
	gone, err := m.begin(ctx, caller, &f)
	if err != nil {
		return eventPage{}, err
	}
	if gone {
		return m.resetPage(ctx)
	}

	p := &page{filter: f, log: m.events, limit: limit, limitedRead: m.limitedRead(reads.Page, caller.UserID)}
	err = m.fill(ctx, p, caller, wait)
	if errors.Is(err, events.ErrRewritten) {
		return m.resetPage(ctx)
	}
	if err != nil {
		return eventPage{}, err
	}
	// The caller may have lost its rights while the request was reading and waiting. If its role
	// changed, it must repeat the request.
	if same, err := m.unchanged(ctx, caller); err != nil {
		return eventPage{}, err
	} else if !same {
		p.at, p.list = f.at, nil
	}
	return eventPage{Events: p.list, Next: p.at}, nil
}

// begin sets the start if the caller has no cursor, and reports whether its cursor cannot be
// resumed.
func (m *Module) begin(ctx context.Context, caller identity.Caller, f *filter) (gone bool, err error) {
	if f.resume {
		return m.events.Expired(ctx, f.at, f.owner, m.keep)
	}
	err = m.limitedRead(reads.Page, caller.UserID)(ctx, func() (err error) {
		f.at, err = oldest(ctx, m.events, m.keep)
		return err
	})
	return false, err
}

// resetPage is the response to a cursor that is not part of this log.
func (m *Module) resetPage(ctx context.Context) (eventPage, error) {
	// After waiting, the deadline of the request may have passed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.limits.readWithin)
	defer cancel()

	head, err := m.events.Head(ctx)
	return eventPage{Next: head, Reset: true}, err
}

// fill reads a page and, if it is empty, waits for events.
func (m *Module) fill(ctx context.Context, p *page, caller identity.Caller, wait time.Duration) error {
	if wait == 0 {
		return p.read(ctx)
	}
	if err := m.readable(ctx); err != nil {
		return err
	}
	// Join first, so that no event is missed between reading and waiting. The request's deadline
	// only applies to reading.
	slot, err := m.connections.wait(caller.UserID)
	if err != nil {
		return err
	}
	bell := m.newStream(caller, p.filter)
	bell.slot = slot
	defer bell.Close()
	if err := m.hub.join(bell.subscriber); err != nil {
		return nil // the server is stopping: return an empty page; the client continues on another node
	}
	bell.joined = true
	bell.queue.drain()
	if same, err := m.unchanged(ctx, caller); err != nil || !same {
		return err // the credential changed before the hub could notify this request
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

// unchanged reports whether the caller's credential still has the rights with which the request
// began. It returns an Unauthenticated fault for an invalid credential.
func (m *Module) unchanged(ctx context.Context, caller identity.Caller) (bool, error) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.limits.readWithin)
	defer cancel()
	now, err := m.sessions.CurrentCaller(limited, caller.Credential())
	return now == caller, err
}

// page is the state of one request.
type page struct {
	filter
	log         *events.Log
	limit       int
	limitedRead limitedRead
	list        []events.Event
}

// read fills the page from its position until it is full or the log ends.
func (p *page) read(ctx context.Context) error {
	for range lookThrough {
		var got events.Page
		err := p.limitedRead(ctx, func() (err error) {
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
		p.at = got.Next // also skips events that are not shown
		if !got.More {
			return nil
		}
	}
	return nil
}
