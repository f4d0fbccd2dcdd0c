package events

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Message is the external form of an event on every transport: a CloudEvents 1.0 document in JSON,
// with extensions after the standard attributes (SPEC E1, E3).
type Message struct {
	_ struct{} `schema:"Event"`

	SpecVersion     string          `json:"specversion" doc:"Always 1.0" example:"1.0"`
	ID              string          `json:"id" doc:"Unique: order id and version" example:"0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11/3"`
	Source          string          `json:"source" example:"/v1/orders"`
	Type            string          `json:"type" example:"order.confirmed"`
	Subject         uuid.UUID       `json:"subject" doc:"The order's id"`
	Time            string          `json:"time" format:"date-time"`
	DataContentType string          `json:"datacontenttype" example:"application/json"`
	Data            json.RawMessage `json:"data"`
	Cursor          string          `json:"cursor" doc:"Resume after this event with ?after="`
	Version         int64           `json:"version" doc:"The order's version after this event"`
	Actor           string          `json:"actor" doc:"Who did it: system, user:<id> or admin:<id>; /key:<id> behind it names the API key"`
	UserID          uuid.UUID       `json:"userid" doc:"The user who owns the order"`
}

// Message returns the external form of the event.
func (e Event) Message() Message {
	return Message{
		SpecVersion: "1.0",
		ID:          e.OrderID.String() + "/" + strconv.FormatInt(e.Version, 10),
		Source:      "/v1/orders",
		Type:        e.Type,
		Subject:     e.OrderID,
		Time:        e.At.UTC().Format(timeFormat),
		Data:        e.Data, DataContentType: "application/json",
		Cursor:  e.Cursor.String(),
		Version: e.Version,
		Actor:   string(e.Actor),
		UserID:  e.UserID,
	}
}

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// Now returns the current time as the log stores it: in UTC and whole milliseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
