package orderflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/orderflow-dev/orderflow/clients/go/api"
)

// Event is one change of one order: a CloudEvents 1.0 document.
type Event struct {
	// ID is unique: the id of the order and its version after the event. Handlers that must not run
	// twice store it.
	ID string `json:"id"`
	// Type is the type, such as order.shipped. Ignore types that you do not know.
	Type string `json:"type"`
	// Subject is the id of the order.
	Subject string    `json:"subject"`
	Source  string    `json:"source"`
	Time    time.Time `json:"time"`
	// Cursor is the position after this event. Store it once you have handled the event, and pass it
	// as [FollowOptions].After to resume.
	Cursor string `json:"cursor"`
	// Version is the version of the order after the event. Versions of an order have no gaps.
	Version int64 `json:"version"`
	// Actor is who did it: system, user:<id> or admin:<id>; /key:<id> after it names the API key.
	Actor string `json:"actor"`
	// UserID is the owner of the order.
	UserID string `json:"userid"`
	// DeliveryNumber numbers the deliveries of a webhook without gaps. It is 0 in streams.
	DeliveryNumber int64 `json:"deliverynumber"`

	// Data is a pointer to the struct of the type, such as *OrderShipped. It is nil for a type that this
	// version of the package does not know; Raw has it nevertheless.
	Data any `json:"-"`
	// Raw is the whole event as it was received.
	Raw json.RawMessage `json:"-"`
}

// EventOf returns an event of a page, as ListEventsWithResponse and GetOrderEventsWithResponse
// return them, in the form that [Client.Follow] yields.
func EventOf(e api.Event) (*Event, error) {
	raw, err := e.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("orderflow: %w", err)
	}
	event := &Event{}
	return event, json.Unmarshal(raw, event)
}

// UnmarshalJSON decodes an event with the data of its type.
func (e *Event) UnmarshalJSON(raw []byte) error {
	type envelope Event // without this method
	if err := json.Unmarshal(raw, (*envelope)(e)); err != nil {
		return err
	}
	if e.Type == "" {
		return errors.New("orderflow: an event without a type")
	}
	e.Raw = append(json.RawMessage(nil), raw...)
	e.Data = newData(e.Type)
	if e.Data == nil {
		return nil
	}
	if err := json.Unmarshal(raw, &struct {
		Data any `json:"data"`
	}{e.Data}); err != nil {
		return fmt.Errorf("orderflow: decode the data of %s %s: %w", e.Type, e.ID, err)
	}
	return nil
}
