package inventory

import (
	"testing"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Ten nodes start at once on an empty database; later ones change nothing.
func TestSeedOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)

	s.race(10, func(node *Module, _ int) {
		if err := node.Seed(t.Context(), Demo); err != nil {
			t.Error(err)
		}
	})
	if n := s.count(`select count(*) from products`); n != int64(len(Demo)) {
		t.Fatalf("%d products", n)
	}
	s.audit()

	for _, p := range Demo {
		must(t, s.remove(t.Context(), p.SKU, always))
	}
	must(t, s.Seed(t.Context(), Demo))
	if n := s.count(`select count(*) from products where deleted_at is null`); n != 0 {
		t.Errorf("%d products came back", n)
	}
}

// Changed tells the other nodes after a commit, and only of what they remember.
func TestChangedIsTold_F9(t *testing.T) {
	t.Parallel()
	s := setup(t)
	pool, err := postgres.Open(t.Context(), s.url, 4)
	must(t, err)
	t.Cleanup(pool.Close)
	told := 0
	s.Module = New(Deps{Pool: pool, InFlight: &idempotency.InFlight{}, Changed: func() { told++ }})
	name := "New"
	four := new(int64(4))

	s.stock(new(int64(5)), "a")
	_, err = s.change(t.Context(), s.admin, "a", always, change{name: &name})
	must(t, err)
	if told != 2 {
		t.Fatalf("told %d times of two changes", told)
	}
	for range 2 {
		_, err = s.change(t.Context(), s.admin, "a", always, change{name: &name, stock: &four})
		must(t, err)
	}
	refused(t, s.remove(t.Context(), "none", always), "not-found")
	_, err = s.adjust(t.Context(), s.admin, idempotency.Key[*ent.Movement]{}, "a", 1, "found")
	must(t, err)
	must(t, s.Seed(t.Context(), Demo))
	if told != 2 {
		t.Errorf("told %d times although no price changed", told)
	}
}
