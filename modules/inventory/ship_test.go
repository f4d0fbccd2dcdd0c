package inventory

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
)

// What was held leaves the shelf: no longer reserved, no longer on hand, and what
// is available does not move.
func TestShipTakesFromTheShelf_B2(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(10)), "a", "b")
	s.stock(nil, "u")
	first, second := wants{uuid.New(), map[string]int64{"a": 3, "b": 4, "u": 9}}, want("a", 2)
	_, err := reserve(s.Module, first, second)
	must(t, err)

	shipped, err := ship(s.Module, second.order, first.order, uuid.New())
	must(t, err)

	wanted := map[uuid.UUID]map[string]int64{first.order: first.units, second.order: second.units}
	if diff := cmp.Diff(wanted, shipped); diff != "" {
		t.Error(diff)
	}
	for _, row := range []struct {
		sku                        string
		stock, available, versions int64
	}{{"a", 5, 5, 2}, {"b", 6, 6, 2}, {"u", -1, -1, 1}} {
		n := s.count(`
			select count(*) from products where sku = $1 and reserved = 0
			and coalesce(stock, -1) = $2 and coalesce(available, -1) = $3 and version = $4`,
			row.sku, row.stock, row.available, row.versions)
		if n != 1 {
			t.Errorf("%s is not at %d units on hand, %d available, version %d", row.sku, row.stock, row.available, row.versions)
		}
	}
	if n := s.count(`select count(*) from movements where sku = 'u'`); n != 0 {
		t.Errorf("%d movements of what is not tracked", n)
	}
	s.audit()
}

// One movement for each order and sku, with who shipped it, among the adjustments.
func TestShipmentsAreMovements_B5(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.stock(new(int64(10)), "a")
	first, second := want("a", 3), want("a", 2)
	_, err := reserve(f.Module, first, second)
	must(t, err)

	for _, w := range []wants{first, second} {
		_, err := ship(f.Module, w.order)
		must(t, err)
	}

	page, _, err := f.movements(t.Context(), "a", uuid.Nil, 10)
	must(t, err)
	var got []string
	for _, m := range page {
		got = append(got, strconv.FormatInt(m.Delta, 10)+" "+strconv.FormatInt(*m.Stock, 10)+" "+m.Reason+" "+m.Actor)
	}
	wanted := []string{
		"-2 5 shipped with order " + second.order.String() + " admin:carla",
		"-3 7 shipped with order " + first.order.String() + " admin:carla",
	}
	if diff := cmp.Diff(wanted, got[:2]); diff != "" {
		t.Error(diff)
	}
	f.audit()
}

// A change of the stock that was read before the shipment is rejected.
func TestShippingChangesTheETag(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.stock(new(int64(5)), "a")
	w := want("a", 2)
	_, err := reserve(f.Module, w)
	must(t, err)
	f.run([]row{{"PATCH /v1/products/a", `{"name":"Two"}`, of(asAdmin, `If-Match: "1"`), 200, `"version":2`}})

	_, err = ship(f.Module, w.order)
	must(t, err)

	f.run([]row{
		{"PATCH /v1/products/a", `{"stock":5}`, of(asAdmin, `If-Match: "2"`), 412, `"code":"stale"`},
		{"PATCH /v1/products/a", `{"stock":0}`, of(asAdmin, `If-Match: "3"`), 200, `"stock":0,"reserved":0,"available":0`},
	})
	f.audit()
}

// SPEC B4, D1: twenty ship and twenty release the same orders at once. Each order
// goes one way, once, and whole.
func TestShippedOrReleasedOnce_B4_D1(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(1000)), "a", "b")
	var batch []wants
	var orders []uuid.UUID
	for range 10 {
		w := wants{uuid.New(), map[string]int64{"a": 3, "b": 4}}
		batch, orders = append(batch, w), append(orders, w.order)
	}
	_, err := reserve(s.Module, batch...)
	must(t, err)

	var left, back atomic.Int64
	s.race(40, func(node *Module, caller int) {
		some := []uuid.UUID{orders[rand.IntN(10)], orders[rand.IntN(10)], orders[caller%10]}
		do, counter := ship, &left
		if caller%4 < 2 {
			do, counter = release, &back
		}
		moved, err := do(node, some...)
		if err != nil {
			t.Error(err)
		}
		for order, units := range moved {
			if diff := cmp.Diff(map[string]int64{"a": 3, "b": 4}, units); diff != "" {
				t.Errorf("order %s in parts: %s", order, diff)
			}
			counter.Add(1)
		}
	})

	if left.Load()+back.Load() != 10 {
		t.Errorf("%d orders were shipped and %d released, of 10", left.Load(), back.Load())
	}
	if a, b := s.count(`select stock from products where sku = 'a'`), s.count(`select stock from products where sku = 'b'`); a != 1000-3*left.Load() || b != 1000-4*left.Load() {
		t.Errorf("%d of a and %d of b on hand after %d shipments", a, b, left.Load())
	}
	if s.reserved("a") != 0 || s.reserved("b") != 0 {
		t.Errorf("%d and %d are still reserved", s.reserved("a"), s.reserved("b"))
	}
	s.audit()
}

// SPEC B2, B3: reserve, release, ship and adjust in parallel, skus in every order
// and no retries: no dead-lock, and no unit is made or lost.
func TestEverythingAtOnceBalances_B2_B3(t *testing.T) {
	t.Parallel()
	s := setup(t)
	skus := []string{"a", "b", "c", "d", "e"}
	s.stock(new(int64(500)), skus...)

	var found, sent atomic.Int64
	s.race(24, func(node *Module, caller int) {
		for range 10 {
			w := wants{uuid.New(), map[string]int64{}}
			for _, i := range rand.Perm(len(skus))[:2+rand.IntN(3)] {
				w.units[skus[i]] = 1 + rand.Int64N(3)
			}
			if _, err := reserve(node, w, want(skus[caller%5], 1)); err != nil {
				t.Errorf("reserve: %v", err)
			}
			if _, err := node.adjust(context.Background(), s.admin, idempotency.Key[*ent.Movement]{}, skus[rand.IntN(5)], 1, "found"); err != nil {
				t.Errorf("adjust: %v", err)
			}
			found.Add(1)
			do := release
			if caller%2 == 0 {
				do = ship
			}
			moved, err := do(node, w.order)
			if err != nil {
				t.Errorf("ship or release: %v", err)
			}
			if caller%2 == 0 {
				for _, n := range moved[w.order] {
					sent.Add(n)
				}
			}
		}
	})

	if n := s.count(`select sum(stock)::bigint from products`); n != 2500+found.Load()-sent.Load() {
		t.Errorf("%d on hand; 2500 were, %d were found and %d shipped", n, found.Load(), sent.Load())
	}
	s.audit()
}

// SPEC D1: what was shipped is not reserved again, even when the shelf is empty,
// and does not come back.
func TestShippedIsFinal_D1(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(5)), "a")
	w := want("a", 5)
	_, err := reserve(s.Module, w)
	must(t, err)
	_, err = ship(s.Module, w.order)
	must(t, err)

	for range 2 {
		again, err := ship(s.Module, w.order)
		must(t, err)
		back, err := release(s.Module, w.order)
		must(t, err)
		short, err := reserve(s.Module, w)
		must(t, err)
		if len(again)+len(back)+len(short) > 0 {
			t.Errorf("shipped %v, released %v, short of %v", again, back, short)
		}
	}

	if n := s.count(`select count(*) from products where stock = 0 and reserved = 0`); n != 1 {
		t.Error("something was taken or given back")
	}
	s.audit()
}

// Reserved units can be shipped after any change of the product.
func TestShipWhatIsNoLongerSold(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(5)), "deleted", "tracked")
	s.stock(nil, "untracked")
	w := wants{uuid.New(), map[string]int64{"deleted": 2, "tracked": 2, "untracked": 2}}
	_, err := reserve(s.Module, w)
	must(t, err)
	must(t, s.remove(t.Context(), "deleted", always))
	for sku, stock := range map[string]*int64{"tracked": nil, "untracked": new(int64(3))} {
		_, err := s.change(t.Context(), s.admin, sku, always, change{stock: &stock})
		must(t, err)
	}

	shipped, err := ship(s.Module, w.order)
	must(t, err)

	if diff := cmp.Diff(w.units, shipped[w.order]); diff != "" {
		t.Error(diff)
	}
	if n := s.count(`select stock from products where sku = 'untracked'`); n != 1 {
		t.Errorf("%d are left of what is tracked by now", n)
	}
	s.audit()
}

func TestAvailable(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(5)), "a", "b", "deleted")
	s.stock(nil, "u")
	_, err := reserve(s.Module, wants{uuid.New(), map[string]int64{"a": 5, "b": 2, "u": 7}})
	must(t, err)
	must(t, s.remove(t.Context(), "deleted", always))

	left, err := s.Available(t.Context(), []string{"u", "a", "b", "deleted", "never"})
	must(t, err)

	if diff := cmp.Diff(map[string]*int64{"a": new(int64(0)), "b": new(int64(3)), "u": nil}, left); diff != "" {
		t.Error(diff)
	}
}
