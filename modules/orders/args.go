package orders

import "github.com/google/uuid"

// ProcessArgs are the arguments of the job that processes an order. One job executes all
// steps of an order; the order's row is its checkpoint.
type ProcessArgs struct {
	OrderID uuid.UUID `json:"orderId"`
}

// Kind is stored with every job and must never change.
func (ProcessArgs) Kind() string { return processKind }

const processKind = "order_process"
