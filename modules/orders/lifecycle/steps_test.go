package lifecycle

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// A reservation has time while its order is PENDING, and none passes while a step holds it.
func TestReservationsAreNotLateOnHold(t *testing.T) {
	t.Parallel()
	o := Load(State{}, Deadlines{}, identity.System, time.Now())
	o.Record(Place(Terms{ID: uuid.New(), Total: 100}))
	o.Record(o.Reserve([]StockItem{{SKU: "A", Quantity: 1}}, []string{"fraud"}))
	o.StartPaymentPeriod(time.Hour)
	pending := o.Unpaid()
	held, err := o.HoldForStep("fraud", "Look at it.", false)
	if err != nil {
		t.Fatal(err)
	}
	o.Record(o.RecordVerdict("fraud", Verdict{Kind: VerdictHold, Reason: "Look at it."}), held)

	if !pending || o.Unpaid() || !o.Reserved || o.ReservedUntil == nil || o.Outstanding() {
		t.Errorf("PENDING: unpaid %v; ON_HOLD: unpaid %v, %+v", pending, o.Unpaid(), o.Deadlines)
	}
}
