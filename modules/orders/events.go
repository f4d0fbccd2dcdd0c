package orders

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// Data is the data of an event in the log: the data of the aggregate and, for order.created,
// the complete order as it was accepted.
type Data struct {
	lifecycle.Data
	Order *Order `json:"order,omitzero" doc:"The whole order as it was accepted"`
}

// encodeEvent encodes an event of a user's order for the log. accepted is the order for
// order.created and nil for other events.
func encodeEvent(e lifecycle.Event, user uuid.UUID, accepted *Order) (events.Event, error) {
	raw, err := canonical.Marshal(Data{Data: e.Data, Order: accepted})
	if err != nil {
		return events.Event{}, fmt.Errorf("render %s of order %s: %w", e.Type, e.Data.OrderID, err)
	}
	return events.Event{
		OrderID: e.Data.OrderID, Version: e.Version, UserID: user, Type: e.Type, Data: raw, Actor: e.Actor, At: e.At,
	}, nil
}

// decodeEvent decodes an event of the log and, for order.created, the order.
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

// Fold applies an order's events, first to last, and returns the resulting order. It equals
// the stored row unless the database is corrupt (SPEC E1).
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
