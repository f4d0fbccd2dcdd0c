package orders

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// A deleted order is not found by any caller. Its events stay in the log, so that a client that
// resumes gets all versions and the deletion (SPEC E1, E3), but texts that people wrote are
// removed from them.

// Deleted reports whether an order was deleted.
func (m *Module) Deleted(ctx context.Context, id uuid.UUID) (bool, error) {
	gone, err := deletedAmong(ctx, m.Pool, []uuid.UUID{id})
	return gone[id], err
}

// Redact removes what the customer gave (Given), the payment method, tracking and reasons from
// the events of deleted orders. It reads the order of each event that has any of these.
func (m *Module) Redact(ctx context.Context, list []events.Event) error {
	var ids []uuid.UUID
	for _, e := range list {
		if hasText(e) {
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
		if gone[list[i].OrderID] && hasText(list[i]) {
			if err := redact(&list[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasText reports whether an event may have texts that people wrote.
func hasText(e events.Event) bool {
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
