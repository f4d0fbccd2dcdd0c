package orders

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// A deleted order is a 404 for everybody. Its events stay in the log, so that a client that
// resumes misses no version and receives the deletion (SPEC E1, E3), but text that people
// wrote is removed from them.

// Deleted tells whether an order was deleted.
func (m *Module) Deleted(ctx context.Context, id uuid.UUID) (bool, error) {
	gone, err := deletedAmong(ctx, m.Pool, []uuid.UUID{id})
	return gone[id], err
}

// Redact takes what the customer gave (Given), payment method, tracking and reasons out of
// those events of the list that are of deleted orders. It costs a look at each order of an event
// that has any of these.
func (m *Module) Redact(ctx context.Context, list []events.Event) error {
	var ids []uuid.UUID
	for _, e := range list {
		if telling(e) {
			ids = append(ids, e.OrderID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	gone, err := deletedAmong(ctx, m.Pool, ids)
	if err != nil {
		return err
	}
	for i := range list {
		if gone[list[i].OrderID] && telling(list[i]) {
			if err := redact(&list[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// telling tells whether an event may hold what people wrote.
func telling(e events.Event) bool {
	return e.Type == lifecycle.EventCreated || bytes.Contains(e.Data, []byte(`"reason"`)) || bytes.Contains(e.Data, []byte(`"tracking"`))
}

func redact(e *events.Event) error {
	var d Data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return fmt.Errorf("read event %d of order %s: %w", e.Version, e.OrderID, err)
	}
	d.Reason, d.Tracking = nil, nil
	if o := d.Order; o != nil {
		o.Given, o.PaymentMethod, o.Reason, o.Tracking = Given{}, nil, nil, nil
	}
	raw, err := canonical.Marshal(d)
	if err != nil {
		return fmt.Errorf("redact event %d of order %s: %w", e.Version, e.OrderID, err)
	}
	e.Data = raw
	return nil
}
