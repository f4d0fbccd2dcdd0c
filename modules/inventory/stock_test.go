package inventory

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// race runs do for many callers at once, on two nodes in turn.
func (s *bundle) race(callers int, do func(node *Module, caller int)) {
	nodes := []*Module{s.Module, s.node()}
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			<-start
			do(nodes[i%2], i)
		})
	}
	close(start)
	all.Wait()
}

// SPEC B2, B3: three skus of 60 units; 24 buyers on two nodes ask for far more, in
// batches and in every order of skus, and without any retry.
func TestNothingIsSoldTwice_B2_B3(t *testing.T) {
	t.Parallel()
	s := setup(t)
	skus := []string{"a", "b", "c"}
	s.stock(new(int64(60)), skus...)

	var sold sync.Map // sku -> *atomic.Int64
	for _, sku := range skus {
		sold.Store(sku, new(atomic.Int64))
	}
	s.race(24, func(node *Module, caller int) {
		for round := range 10 {
			var batch []wants
			for range 3 {
				w := wants{uuid.New(), map[string]int64{}}
				for _, i := range rand.Perm(3)[:1+rand.IntN(3)] {
					w.units[skus[i]] = 1
				}
				batch = append(batch, w)
			}
			short, err := reserve(node, batch...)
			if err != nil {
				t.Errorf("caller %d, round %d: %v", caller, round, err)
				return
			}
			for _, w := range batch {
				if short[w.order] != nil {
					continue
				}
				for sku, n := range w.units {
					counter, _ := sold.Load(sku)
					counter.(*atomic.Int64).Add(n)
				}
			}
		}
	})

	for _, sku := range skus { // single units use up the stock that the mixed orders left
		for s.reserved(sku) < 60 {
			short, err := reserve(s.Module, want(sku, 1))
			must(t, err)
			if len(short) > 0 {
				t.Fatalf("%s is short with %d of 60 reserved", sku, s.reserved(sku))
			}
			counter, _ := sold.Load(sku)
			counter.(*atomic.Int64).Add(1)
		}
		counter, _ := sold.Load(sku)
		if n := counter.(*atomic.Int64).Load(); n != 60 {
			t.Errorf("%d units of %s were promised, of 60", n, sku)
		}
	}
	s.audit()
}

// SPEC B2: one sku, S units, one unit each: exactly S buyers get theirs.
func TestExactlyTheStockIsSold_B2(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(37)), "x")

	var won atomic.Int64
	s.race(100, func(node *Module, _ int) {
		short, err := reserve(node, want("x", 1))
		if err != nil {
			t.Error(err)
		} else if len(short) == 0 {
			won.Add(1)
		}
	})

	if won.Load() != 37 || s.reserved("x") != 37 {
		t.Errorf("%d buyers won, %d units are reserved, of 37", won.Load(), s.reserved("x"))
	}
	s.audit()
}

// SPEC B3: takers, givers and adjusters of the same skus in opposite orders, none
// of them with a retry.
func TestNoMixDeadlocks_B3(t *testing.T) {
	t.Parallel()
	s := setup(t)
	skus := make([]string, 12)
	for i := range skus {
		skus[i] = "sku-" + strconv.Itoa(i)
	}
	s.stock(new(int64(1_000_000)), skus...)

	s.race(20, func(node *Module, caller int) {
		for range 8 {
			list := slices.Clone(skus)
			if caller%4 < 2 {
				slices.Reverse(list)
			}
			var orders []uuid.UUID
			var batch []wants
			for i := 0; i+1 < len(list); i += 2 {
				w := wants{uuid.New(), map[string]int64{list[i]: 1, list[i+1]: 2}}
				batch, orders = append(batch, w), append(orders, w.order)
			}
			if _, err := reserve(node, batch...); err != nil {
				t.Errorf("reserve: %v", err)
			}
			if _, err := node.adjust(context.Background(), s.admin, idempotency.Key[*ent.Movement]{}, list[0], 1, "found"); err != nil {
				t.Errorf("adjust: %v", err)
			}
			slices.Reverse(orders)
			if _, err := release(node, orders...); err != nil {
				t.Errorf("release: %v", err)
			}
		}
	})

	s.audit()
	if n := s.count(`select sum(reserved)::bigint from products`); n != 0 {
		t.Errorf("%d units are still reserved", n)
	}
}

// SPEC B4: twenty cancel the same orders at once; one gives back.
func TestReleasedExactlyOnce_B4(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(10)), "a", "b")
	first, second := wants{uuid.New(), map[string]int64{"a": 3, "b": 4}}, want("b", 2)
	_, err := reserve(s.Module, first, second)
	must(t, err)

	var gave atomic.Int64
	s.race(20, func(node *Module, _ int) {
		released, err := release(node, first.order, second.order)
		if err != nil {
			t.Error(err)
		}
		for _, units := range released {
			for _, n := range units {
				gave.Add(n)
			}
		}
	})

	if gave.Load() != 9 || s.reserved("a") != 0 || s.reserved("b") != 0 {
		t.Errorf("%d units came back, %d and %d are reserved", gave.Load(), s.reserved("a"), s.reserved("b"))
	}
	s.audit()
}

func TestReleaseTellsWhatItGaveBack(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(10)), "a", "b")
	w, stranger := wants{uuid.New(), map[string]int64{"a": 3, "b": 4}}, uuid.New()
	_, err := reserve(s.Module, w)
	must(t, err)

	released, err := release(s.Module, w.order, stranger)
	must(t, err)

	if diff := cmp.Diff(map[uuid.UUID]map[string]int64{w.order: w.units}, released); diff != "" {
		t.Error(diff)
	}
}

// SPEC B2: all or nothing per order, first come first served.
func TestReserveIsAllOrNothing_B2(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(5)), "a", "b")
	s.stock(nil, "u")
	greedy := wants{uuid.New(), map[string]int64{"a": 6, "b": 6, "u": 1, "gone": 1}}
	exact, late := wants{uuid.New(), map[string]int64{"a": 5, "b": 5, "u": 1_000_000}}, want("a", 1)

	short, err := reserve(s.Module, greedy, exact, late)
	must(t, err)

	wanted := map[uuid.UUID][]string{greedy.order: {"a", "b", "gone"}, late.order: {"a"}}
	if diff := cmp.Diff(wanted, short); diff != "" {
		t.Error(diff)
	}
	if n := s.count(`select count(*) from reservations`); n != 3 {
		t.Errorf("%d reservations were written", n)
	}
	if s.reserved("u") != 1_000_000 {
		t.Errorf("%d of the untracked are counted", s.reserved("u"))
	}
	s.audit()
}

// SPEC D1: a step that ran is not run again. A reopened order takes its stock anew.
func TestReserveTwice_D1(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(5)), "a", "b")
	w := wants{uuid.New(), map[string]int64{"a": 5, "b": 1}}

	for range 3 {
		short, err := reserve(s.Module, w)
		must(t, err)
		if len(short) > 0 {
			t.Fatalf("short of %v", short)
		}
	}
	if s.reserved("a") != 5 || s.reserved("b") != 1 {
		t.Fatalf("%d and %d are reserved", s.reserved("a"), s.reserved("b"))
	}

	for range 2 {
		_, err := release(s.Module, w.order)
		must(t, err)
	}
	short, err := reserve(s.Module, w)
	must(t, err)
	if len(short) > 0 || s.reserved("a") != 5 {
		t.Errorf("reopened: short of %v, %d reserved", short, s.reserved("a"))
	}
	s.audit()
}

// The same order by twenty workers at once: one reservation.
func TestReserveTheSameOrderAtOnce_D1(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(9)), "a", "b")
	w := wants{uuid.New(), map[string]int64{"a": 4, "b": 2}}

	s.race(20, func(node *Module, _ int) {
		short, err := reserve(node, w)
		if err != nil || len(short) > 0 {
			t.Errorf("short of %v, %v", short, err)
		}
	})

	if s.reserved("a") != 4 || s.reserved("b") != 2 {
		t.Errorf("%d and %d are reserved", s.reserved("a"), s.reserved("b"))
	}
	s.audit()
}

// An accepted order gets what was withdrawn from sale since.
func TestReserveWhatIsNoLongerSold(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(5)), "deleted", "inactive")
	no := false
	_, err := s.change(t.Context(), s.admin, "inactive", always, change{active: &no})
	must(t, err)
	must(t, s.remove(t.Context(), "deleted", always))

	short, err := reserve(s.Module, wants{uuid.New(), map[string]int64{"deleted": 1, "inactive": 1}})
	must(t, err)

	if len(short) > 0 {
		t.Errorf("short of %v", short)
	}
	s.audit()
}

// SPEC B2: the database itself rejects it for every writer.
func TestDatabaseChecksAvailable_B2(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(5)), "a")

	for _, sql := range []string{
		`update products set reserved = 6`,
		`update products set reserved = -1`,
		`update products set stock = -1`,
		`update products set stock = 4, reserved = 5`,
	} {
		_, err := s.pool.Exec(t.Context(), sql)
		if postgres.Code(err) != "23514" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if s.reserved("a") != 0 {
		t.Errorf("%d are reserved", s.reserved("a"))
	}
}

func TestLinesMustMatch(t *testing.T) {
	t.Parallel()
	m := New(Deps{})

	if _, err := m.Reserve(t.Context(), nil, []uuid.UUID{uuid.New()}, nil, nil); err == nil {
		t.Error("an order without a sku was accepted")
	}
	short, err := m.Reserve(t.Context(), nil, nil, nil, nil)
	if err != nil || short == nil {
		t.Errorf("nothing to do: %v, %v", short, err)
	}
}
