package orders_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

func (b *bundle) ids(c identity.Caller, f orders.Filter) (ids []uuid.UUID) {
	b.t.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	for {
		page, more, err := b.List(b.ctx, c, f)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, o := range page {
			ids = append(ids, o.ID)
		}
		if !more {
			return ids
		}
		f.Before = ids[len(ids)-1]
	}
}

// C5: walking while others insert shows each old order exactly once, newest first.
func TestWalkUnderInserts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	old := map[uuid.UUID]int{}
	for range 60 {
		old[b.place(b.alice, basket("A", 1)).ID] = 0
	}

	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					b.place(b.alice, basket("A", 1))
				}
			}
		})
	}
	for walk := range 5 {
		var last uuid.UUID
		for _, id := range b.ids(b.alice, orders.Filter{Limit: 7}) {
			if last != uuid.Nil && id.String() >= last.String() {
				t.Errorf("%s follows %s", id, last)
			}
			last = id
			if _, is := old[id]; is {
				old[id]++
			}
		}
		for id, n := range old {
			if n != walk+1 {
				t.Errorf("order %s was seen %d times in %d walks", id, n, walk+1)
			}
		}
	}
	close(stop)
	writers.Wait()
}

// C5: filters, alone and together.
func TestListFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1, "KETTLE-2": -1})
	reference := func(w orders.OrderRequest, ref, note string) orders.OrderRequest {
		w.Reference, w.Note = &ref, &note
		return w
	}
	first := b.place(b.alice, reference(basket("KETTLE-2", 1), "PO-17", "Bitte zügig liefern"))
	second := b.processed(b.alice, reference(basket("A", 1), "PO-18", "no hurry"))
	third := b.processed(b.alice, basket("A", 1)) // fails: there was one
	bobs := b.place(b.bob, reference(basket("KETTLE-2", 1), "PO-17", "for Bob"))
	created := func(o orders.Order) time.Time { return o.CreatedAt.Std() }

	rows := []struct {
		name string
		by   identity.Caller
		f    orders.Filter
		want []orders.Order
	}{
		{"own", b.alice, orders.Filter{}, []orders.Order{third, second, first}},
		{"all", b.admin, orders.Filter{}, []orders.Order{bobs, third, second, first}},
		{"one user's", b.admin, orders.Filter{UserID: b.bob.UserID}, []orders.Order{bobs}},
		{"status", b.alice, orders.Filter{Statuses: []lifecycle.Status{lifecycle.Failed}}, []orders.Order{third}},
		{"statuses", b.admin, orders.Filter{Statuses: []lifecycle.Status{lifecycle.Pending, lifecycle.Processing}, Limit: 1}, []orders.Order{bobs, second, first}},
		{"reference", b.alice, orders.Filter{Reference: "PO-17"}, []orders.Order{first}},
		{"reference of all", b.admin, orders.Filter{Reference: "PO-17"}, []orders.Order{bobs, first}},
		{"from", b.alice, orders.Filter{From: created(second)}, []orders.Order{third, second}},
		{"to", b.alice, orders.Filter{To: created(first)}, []orders.Order{first}},
		{"q reference", b.alice, orders.Filter{Words: "po-18"}, []orders.Order{second}},
		{"q sku", b.admin, orders.Filter{Words: "kettle-2"}, []orders.Order{bobs, first}},
		{"q word of a name", b.admin, orders.Filter{Words: "NAME kettle"}, []orders.Order{bobs, first}},
		{"q note", b.alice, orders.Filter{Words: "ZÜGIG bitte"}, []orders.Order{first}},
		{"q and status", b.admin, orders.Filter{Words: "name", Statuses: []lifecycle.Status{lifecycle.Pending}, UserID: b.bob.UserID}, []orders.Order{bobs}},
		{"q nothing", b.alice, orders.Filter{Words: "bob"}, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var want []uuid.UUID
			for _, o := range row.want {
				want = append(want, o.ID)
			}

			if got := b.ids(row.by, row.f); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}

	if _, _, err := b.List(b.ctx, b.alice, orders.Filter{UserID: b.bob.UserID, Limit: 1}); !fault.Is(err, "forbidden") {
		t.Errorf("the orders of another user: %v", err)
	}
}

// G2: a word that only an old order has is found behind any number of newer ones,
// with every other filter, through the index of words.
func TestSearchBeyondTheWindow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	w := basket("A", 1)
	w.Reference, w.Note = new("PO-1"), new("platypus")
	old := b.place(b.alice, w)
	newer := make([]uuid.UUID, 6000)
	for i := range newer {
		newer[i] = uuid.Must(uuid.NewV7())
	}
	b.exec(`insert into orders (id, user_id, status, currency, total, version, due_at, created_at, updated_at)
		select id, $2, 'PENDING', 'EUR', 1, 1, now(), now(), now() from unnest($1::uuid[]) as n (id)`, newer, b.alice.UserID)
	b.exec(`insert into order_terms (order_id, terms) select id, array['common'] from unnest($1::uuid[]) as n (id)`, newer)

	rows := []struct {
		name string
		f    orders.Filter
		want int
	}{
		{"rare word", orders.Filter{Words: "platypus"}, 1},
		{"all filters", orders.Filter{
			Words: "platypus", UserID: b.alice.UserID, Statuses: []lifecycle.Status{lifecycle.Pending, lifecycle.Failed},
			Reference: "PO-1", From: old.CreatedAt.Std(), To: old.CreatedAt.Std(),
		}, 1},
		{"another status", orders.Filter{Words: "platypus", Statuses: []lifecycle.Status{lifecycle.Failed}}, 0},
		{"before it", orders.Filter{Words: "platypus", Before: old.ID}, 0},
		{"no such word", orders.Filter{Words: "ornithorhynchus"}, 0},
		{"common word", orders.Filter{Words: "common", Limit: 100}, 6000},
	}
	for _, row := range rows {
		if got := b.ids(b.admin, row.f); len(got) != row.want {
			t.Errorf("%s: %d orders, want %d", row.name, len(got), row.want)
		}
	}
}
