package orders

import (
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

// OrderStep is an added step of an order in its present round, as the API shows it.
type OrderStep struct {
	Name      string         `json:"name"`
	Status    string         `json:"status" enum:"pending,passed,failed,held,skipped" doc:"held: the order waits until the step is completed"`
	Code      *string        `json:"code" doc:"Why it failed the order"`
	Reason    *string        `json:"reason"`
	DecidedAt *jsontime.Time `json:"decidedAt"`
}

// showSteps returns the JSON form of the aggregate's steps; never nil.
func showSteps(list []lifecycle.Step) []OrderStep {
	shown := make([]OrderStep, len(list))
	for i, s := range list {
		shown[i] = OrderStep{
			Name: s.Name, Status: string(s.Status), Code: storage.NilIfEmpty(s.Code), Reason: s.Reason, DecidedAt: jsontime.AtOrNil(s.At),
		}
	}
	return shown
}
