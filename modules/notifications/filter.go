package notifications

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// filter selects the events of a subscription and its start. The owner comes from the caller's
// identity and never from the client (SPEC E2).
type filter struct {
	owner  uuid.UUID     // the owner of the events; uuid.Nil for all
	order  uuid.UUID     // only this order; uuid.Nil for all
	types  []string      // empty for all
	resume bool          // the client gave a cursor
	start  bool          // begin with the oldest event that is kept for resuming
	at     events.Cursor // the position after which the subscription starts
	orders Orders        // nil if no order is ever deleted
}

func (f *filter) wants(kind string, order uuid.UUID) bool {
	return (f.order == uuid.Nil || f.order == order) && (len(f.types) == 0 || slices.Contains(f.types, kind))
}

// page reads the log for this filter; the caller filters by type.
func (f *filter) page(ctx context.Context, log *events.Log, after events.Cursor, limit int) (page events.Page, err error) {
	if f.order != uuid.Nil {
		page, err = log.AfterInOrder(ctx, after, f.order, f.owner, limit)
	} else {
		page, err = log.After(ctx, after, f.owner, limit)
	}
	if err != nil {
		return page, err
	}
	return f.withoutDeleted(ctx, page)
}

// afterStart is the value of after that stands for the position before the oldest event that is
// kept for resuming (SPEC G10). It cannot be confused with a cursor, which begins with an epoch.
const afterStart = "start"

// oldest returns the position before the oldest event that is kept for resuming. The minute is the
// time that the caller has to come back with a cursor of its first page.
func oldest(ctx context.Context, log *events.Log, keep time.Duration) (events.Cursor, error) {
	return log.Since(ctx, time.Now().Add(time.Minute-keep))
}

// asked is a filter as the client sends it.
type asked struct {
	after, order, user string
	types              []string // each may be several, with commas between
}

func (m *Module) filter(caller identity.Caller, q asked) (f filter, err error) {
	f.owner, f.orders = caller.UserID, m.orders
	if caller.IsAdmin() {
		f.owner = uuid.Nil
	}
	var wrong []fault.Field
	id := func(name, value string) (id uuid.UUID) {
		id, err := uuid.Parse(value)
		if err != nil || id == uuid.Nil { // uuid.Nil stands for all owners
			wrong = append(wrong, badParameter(name, "is not an id"))
		}
		return id
	}
	if q.user != "" {
		f.owner = id("userId", q.user)
	}
	if q.order != "" {
		f.order = id("orderId", q.order)
	}
	for _, list := range q.types {
		for kind := range strings.SplitSeq(list, ",") {
			switch kind = strings.TrimSpace(kind); {
			case kind == "":
			case kind != kindUnread && !slices.Contains(m.types, kind):
				wrong = append(wrong, badParameter("types", "there are no events of type "+kind))
			default:
				f.types = append(f.types, kind)
			}
		}
	}
	switch cursor, _, _ := strings.Cut(q.after, resumptionMark); {
	case q.after == "":
	case cursor == afterStart:
		f.start = true
	default:
		f.resume = true
		if f.at, err = events.ParseCursor(cursor); err != nil {
			wrong = append(wrong, badParameter("after", "is not a cursor"))
		}
	}
	if wrong != nil {
		e := fault.New(fault.KindMalformed, "malformed", "Some parameters are invalid; see errors.")
		e.Fields = wrong
		return f, e
	}
	if f.owner != caller.UserID && !caller.IsAdmin() {
		return f, fault.New(fault.KindForbidden, "forbidden", "Only administrators may subscribe to the orders of other users.")
	}
	return f, nil
}

func badParameter(name, message string) fault.Field {
	return fault.Field{Pointer: "/query/" + name, Code: "format", Message: message}
}
