package orders_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
)

// deeds are what people and the system do to an order, all at once.
var deeds = []func(b *bundle, id uuid.UUID) error{
	func(b *bundle, id uuid.UUID) error {
		_, err := b.Cancel(b.ctx, b.alice, id, nil, nil, idempotency.Key[orders.Order]{})
		return err
	},
	func(b *bundle, id uuid.UUID) error {
		_, err := b.Cancel(b.ctx, b.admin, id, nil, nil, idempotency.Key[orders.Order]{})
		return err
	},
	func(b *bundle, id uuid.UUID) error { return b.move(id, lifecycle.Shipped) },
	func(b *bundle, id uuid.UUID) error { return b.move(id, lifecycle.Completed) },
	func(b *bundle, id uuid.UUID) error { return b.move(id, lifecycle.OnHold) },
	func(b *bundle, id uuid.UUID) error { return b.move(id, lifecycle.Pending) },
	func(b *bundle, id uuid.UUID) error {
		_, err := b.Release(b.ctx, b.admin, id, nil, idempotency.Key[orders.Order]{})
		return err
	},
	func(b *bundle, id uuid.UUID) error { _, err := b.tryRefund(id, 60); return err },
	func(b *bundle, id uuid.UUID) error {
		_, err := b.Refund(b.ctx, b.admin, id, nil, []string{"A"}, []int64{1}, "broken", idempotency.Key[settlement.Refund]{})
		return err
	},
	func(b *bundle, id uuid.UUID) error {
		_, err := b.pool.Exec(b.ctx, `update orders set reserved_until = now() - interval '1 s' where id = $1 and reserved_until is not null`, id)
		if err == nil {
			_, err = b.ExpireOnce(b.ctx)
		}
		return err
	},
	func(b *bundle, id uuid.UUID) error { return b.Advance(b.ctx, id) },
	func(b *bundle, id uuid.UUID) error { return b.Advance(b.ctx, id) },
	func(b *bundle, id uuid.UUID) error { return b.Delete(b.ctx, b.admin, id, nil) },
	func(b *bundle, id uuid.UUID) error { return b.resolveAny(id, "retry") },
	func(b *bundle, id uuid.UUID) error { return b.resolveAny(id, "skip") },
	func(b *bundle, id uuid.UUID) error { return orders.GiveUp(b.Module)(b.ctx, id, errLine) },
}

// race does n deeds to some of the orders, on both nodes and all at once. What the
// table refuses is refused as such; nothing else may go wrong.
func race(t *testing.T, nodes []*bundle, ids []uuid.UUID, n int) {
	t.Helper()
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		b, id, deed := nodes[i%len(nodes)], ids[rand.N(len(ids))], deeds[rand.N(len(deeds))]
		all.Go(func() {
			<-start
			err := deed(b, id)
			if f, told := fault.As(err); err != nil && (!told || f.Kind != fault.KindConflict && f.Kind != fault.KindNotFound) {
				t.Error(err)
			}
		})
	}
	close(start)
	all.Wait()
}

// C7, C8, C9, D1, D7, B4: everything at once on one order, from each place where it
// may be; afterwards everything adds up, and it was cancelled or shipped, not both.
func TestEverythingAtOnceOnOneOrder(t *testing.T) {
	t.Parallel()
	one := setup(t)
	one.products(map[string]int64{"A": 100_000})
	nodes := []*bundle{one, one.another()}
	for round := range 15 {
		o := one.place(one.alice, basket("A", 3))
		if round%3 > 0 {
			one.turn(o.ID)
		}
		if round%3 > 1 {
			one.ship(o.ID)
		}

		race(t, nodes, []uuid.UUID{o.ID}, 20)
	}
	one.finish(t)
}

// B2, B3 as well: everything at once on many orders that share their skus.
func TestEverythingAtOnceOnManyOrders(t *testing.T) {
	t.Parallel()
	one := setup(t)
	one.products(map[string]int64{"A": 40, "B": 30, "C": 20})
	nodes := []*bundle{one, one.another(), one.another()}
	for range 4 {
		ids := make([]uuid.UUID, 20)
		for i := range ids {
			w := basket("A", 1+i%3, "B", 1)
			if i%2 == 0 {
				w = basket("C", 1, "B", 1, "A", 1)
			}
			ids[i] = one.place(one.alice, w).ID
			if i%4 == 0 {
				one.turn(ids[i])
			}
		}

		race(t, nodes, ids, 200)
	}
	one.finish(t)
}

// finish lets all jobs run and checks what must hold in the end.
func (b *bundle) finish(t *testing.T) {
	t.Helper()
	b.settle()
	if n := b.count(`select count(*) from orders where due_at is not null`); n != 0 {
		t.Errorf("%d orders have work pending without end", n)
	}
	for _, id := range column[uuid.UUID](b, t, `select id from orders`) {
		h := b.types(id) + " "
		if strings.Contains(h, "order.cancelled ") && (strings.Contains(h, "order.shipped ") || strings.Contains(h, "order.completed ")) {
			t.Errorf("order %s was cancelled and shipped: %s", id, h)
		}
	}
	b.audit(t)
}

// B2, C1: many buyers of one hot sku, over HTTP and real workers: no unit is sold
// twice, and no response is a 5xx.
func TestHotSKU(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"HOT": 50, "B": 100_000})
	f.work()
	f.another().work()

	var all sync.WaitGroup
	var other atomic.Int64
	for i := range 300 {
		all.Go(func() {
			items := `{"sku":"HOT","quantity":1},{"sku":"B","quantity":2}`
			if i%2 == 0 {
				items = `{"sku":"B","quantity":1},{"sku":"HOT","quantity":1}`
			}
			got := f.reply("alice", "POST /v1/orders", `{"items":[`+items+`]}`, fmt.Sprint("Idempotency-Key: ", i))
			var o orders.Order
			if got.status != http.StatusCreated || json.Unmarshal(got.body, &o) != nil {
				other.Add(1)
				return
			}
			if i%10 == 0 { // some customers cancel, in any state of the order
				if got := f.reply("alice", "POST /v1/orders/"+o.ID.String()+"/cancel", ""); got.status != http.StatusOK && got.status != http.StatusConflict {
					other.Add(1)
				}
			}
		})
	}
	all.Wait()
	f.quiet()

	if n := other.Load(); n != 0 {
		t.Errorf("%d buyers had another answer", n)
	}
	sold := f.count(`select coalesce(sum(quantity), 0) from reservations where sku = 'HOT' and state = 'held'`)
	if n := f.count(`select count(*) from orders where status = 'PROCESSING'`); sold > 50 || n != sold {
		t.Errorf("%d units are sold to %d orders", sold, n)
	}
	if n := f.count(`select count(*) from orders where status = 'FAILED' and failure_code <> 'out-of-stock'`); n != 0 {
		t.Errorf("%d orders failed of something else", n)
	}
	f.checkBooks(t)
}
