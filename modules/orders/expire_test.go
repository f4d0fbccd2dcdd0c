package orders_test

import (
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// SPEC D7, D10: a pass of the sweep reads a bounded number of candidates. Held orders are not among
// them, although they keep their reservations: many of them would delay all other orders for ever.
func TestHeldOrdersAreNoCandidatesOfExpiry_D7(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.products(map[string]int64{"A": 10})
	id := r.place(r.alice, basket("A", 1)).ID
	severed(r, id)
	r.exec(`update orders set reserved_until = now() - interval '1 s' where id = $1`, id)
	held, _ := r.flood(600, time.Hour) // more than a pass reads
	r.exec(`update orders set status = 'ON_HOLD', held_from = 'PENDING', due_at = null, reserved_until = now() - interval '1 hour' where id = any($1)`, held)

	n, err := r.ExpireOnce(r.ctx)

	if n != 1 || err != nil {
		t.Errorf("%d orders expired, %v", n, err)
	}
	if got := r.get(id); got.Status != lifecycle.Failed || failureOf(got) != "reservation-expired" {
		t.Errorf("the order that was not paid in time is %+v", got)
	}
	if n := column[int](r.bundle, t, `select count(*)::int from orders where status = 'ON_HOLD'`)[0]; n != len(held) {
		t.Errorf("%d of %d orders are still held", n, len(held))
	}
}
