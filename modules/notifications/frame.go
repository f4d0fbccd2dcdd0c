package notifications

import (
	"encoding/json"
	"log/slog"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// frame is an encoded message. A control frame has no cursor of its own; its text contains the
// position of the subscriber.
type frame struct {
	kind   string
	order  uuid.UUID
	cursor events.Cursor
	text   []byte
}

// ping is a frame without text for an idle connection.
var ping = &frame{}

// The types of control frames.
const (
	kindReady  = "ready"                // the stream begins here
	kindReset  = "reset"                // the stream begins here, because the cursor cannot be resumed
	kindUnread = "notifications.unread" // the number of unread notifications
	kindClose  = "close"                // Server-Sent Events only, in place of a socket's close code
)

// frameOf never fails. An event whose data cannot be encoded is sent without them: leaving it
// out would be a gap, and an error would block the stream at this position.
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
		panic(err) // cannot fail for strings and numbers
	}
	return &frame{kind: c.Type, text: text}
}
