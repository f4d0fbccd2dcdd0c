package orders

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// Data is the data of an event as the log stores it: what the aggregate says and,
// with order.created, the whole order as it was accepted.
type Data struct {
	lifecycle.Data
	Order *Order `json:"order,omitzero" doc:"The whole order as it was accepted"`
}

// encodeEvent renders an event of a user's order for the log. accepted is the
// order of order.created, nil otherwise.
func encodeEvent(e lifecycle.Event, user uuid.UUID, accepted *Order) (events.Event, error) {
	raw, err := canonical.Marshal(Data{Data: e.Data, Order: accepted})
	if err != nil {
		return events.Event{}, fmt.Errorf("render %s of order %s: %w", e.Type, e.Data.OrderID, err)
	}
	return events.Event{
		OrderID: e.Data.OrderID, Version: e.Version, UserID: user, Type: e.Type, Data: raw, Actor: e.Actor, At: e.At,
	}, nil
}

// decodeEvent reads an event of the log, with the order of order.created.
func decodeEvent(e events.Event) (lifecycle.Event, *Order, error) {
	var d Data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return lifecycle.Event{}, nil, fmt.Errorf("order %s: read event %d: %w", e.OrderID, e.Version, err)
	}
	read := lifecycle.Event{Type: e.Type, Data: d.Data, Version: e.Version, Actor: e.Actor, At: e.At}
	if o := d.Order; o != nil {
		read.Terms = lifecycle.Terms{
			ID: o.ID, UserID: o.UserID, Currency: o.Total.Currency, Total: o.Total.Amount, HoldOnShortage: o.OnShortage == storage.HoldOnShortage,
		}
	}
	return read, d.Order, nil
}

// Fold replays an order's events, first to last, and returns the order that they
// add up to. It equals the stored row unless the database is broken (SPEC E1).
func Fold(list []events.Event) (Order, error) {
	var folded Order
	history := make([]lifecycle.Event, len(list))
	for i, e := range list {
		read, accepted, err := decodeEvent(e)
		if err != nil {
			return folded, err
		}
		if accepted != nil {
			folded = *accepted
		}
		history[i] = read
	}
	state, err := lifecycle.Fold(history)
	if err != nil {
		return folded, fmt.Errorf("order %s: %w", list[0].OrderID, err)
	}
	return folded.show(state), nil
}
