package orders

import "github.com/google/uuid"

// ProcessArgs name the order that a job moves on. There is one job for an order's
// whole way; the order's row is its checkpoint.
type ProcessArgs struct {
	OrderID uuid.UUID `json:"orderId"`
}

// Kind is stored with every job and must never change.
func (ProcessArgs) Kind() string { return processKind }

const processKind = "order_process"
