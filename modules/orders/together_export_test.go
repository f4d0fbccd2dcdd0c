package orders

import (
	"context"

	"github.com/google/uuid"
)

// AdvanceTogether processes one batch with a request for each id.
func (m *Module) AdvanceTogether(ctx context.Context, ids ...uuid.UUID) error {
	requests := make([]advanceRequest, len(ids))
	for i, id := range ids {
		requests[i].order = id
	}
	_, err := m.advanceAll(ctx, requests)
	return err
}
