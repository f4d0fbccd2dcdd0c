package notifications

import (
	"encoding/json"
	"log/slog"

	"orderflow/platform/events"
	"orderflow/platform/web"
)

// frame is an event ready to be written.
type frame struct {
	cursor events.Cursor
	kind   string
	text   []byte
}

// frameOf never fails: an event whose data cannot be rendered goes out without
// them. Left out it would be a gap, and refused a place that nobody can pass.
func frameOf(e events.Event, out *slog.Logger) *frame {
	text, err := web.Marshal(e.Message())
	if err != nil {
		out.Error("event cannot be rendered", "error", err, "order_id", e.OrderID, "version", e.Version)
		e.Data = json.RawMessage("null")
		text, _ = web.Marshal(e.Message())
	}
	return &frame{e.Cursor, e.Type, text}
}

// control is a frame that is not an event: "ready" or "reset".
type control struct {
	Type   string `json:"type"`
	Cursor string `json:"cursor"`
}
