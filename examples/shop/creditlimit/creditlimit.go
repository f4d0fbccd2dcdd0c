// Package creditlimit holds large orders until a person has approved them. Their stock stays
// reserved, and their payment begins only afterwards.
package creditlimit

import (
	"context"

	"github.com/orderflow-dev/orderflow/modules/orders"
)

// Limit is the largest total that needs no approval, in minor units.
const Limit = 1000_00

// Step is for app.WithStep.
var Step = orders.Step{Name: "credit-limit", Check: check}

// check decides from the order alone, so it gives the same verdict each time that it is called.
func check(_ context.Context, r orders.StepRequest) (orders.Verdict, error) {
	if r.Order.Total.Amount > Limit {
		return orders.Hold("The total is above the credit limit."), nil
	}
	return orders.Continue(), nil
}
