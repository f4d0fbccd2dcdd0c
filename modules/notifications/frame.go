package notifications

import (
	"encoding/json"
	"log/slog"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// frame is something to be told, ready to be written. One that is no event has
// no cursor of its own, and its text carries the place where the follower is.
type frame struct {
	kind   string
	order  uuid.UUID
	cursor events.Cursor
	text   []byte
}

// ping is a frame without text, for a connection that was silent.
var ping = &frame{}

// The kinds of frames that are no events.
const (
	kindReady  = "ready"                // the stream begins here
	kindReset  = "reset"                // so it does, but what was asked for is gone
	kindUnread = "notifications.unread" // how much is unread in the inbox
	kindClose  = "close"                // Server-Sent Events only: what a socket says with its close code
)

// frameOf never fails: an event whose data cannot be rendered goes out without
// them. Left out it would be a gap, and refused a place that nobody can pass.
func frameOf(e events.Event, out *slog.Logger) *frame {
	text, err := canonical.Marshal(e.Message())
	if err != nil {
		out.Error("event cannot be rendered", "error", err, "order_id", e.OrderID, "version", e.Version)
		e.Data = json.RawMessage("null")
		text, _ = canonical.Marshal(e.Message())
	}
	return &frame{e.Type, e.OrderID, e.Cursor, text}
}

// Control is a frame that is not an event: "ready", "reset" or
// "notifications.unread".
type Control struct {
	Type   string `json:"type"`
	Cursor string `json:"cursor"`
	Unread *int64 `json:"unread,omitzero"`
}

func (c Control) frame() *frame {
	text, err := canonical.Marshal(c)
	if err != nil {
		panic(err) // strings and a number
	}
	return &frame{kind: c.Type, text: text}
}
