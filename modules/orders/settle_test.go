package orders

import (
	"slices"
	"testing"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
)

// D1, D3: what the aggregate and the payments say of the same money translates:
// each target of a status is a goal, each outcome an event, each step a step.
func TestSettlementTranslates_D3(t *testing.T) {
	t.Parallel()
	for _, m := range lifecycle.Statuses {
		if goals[m.Money] == "" {
			t.Errorf("%s wants %q of the money, which is no goal", m.Status, m.Money)
		}
	}
	for _, o := range []settlement.Outcome{
		settlement.Authorized, settlement.Declined, settlement.Captured, settlement.Voided,
		settlement.RefundRequested, settlement.Refunded, settlement.RefundFailed,
	} {
		if paymentEvents[o] == "" {
			t.Errorf("%s has no event", o)
		}
	}
	for _, s := range []settlement.Step{settlement.StepAuthorize, settlement.StepCapture, settlement.StepVoid, settlement.StepRefund} {
		if !slices.Contains(lifecycle.OwnSteps, s) {
			t.Errorf("dead letters know no step %s", s)
		}
	}
}
