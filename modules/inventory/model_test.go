package inventory

import (
	"context"
	"maps"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
)

// model is the stock as a child would keep it: on paper, one thing at a time.
type model struct {
	stock map[string]*int64
	held  map[uuid.UUID]map[string]int64
	sent  map[uuid.UUID]bool
	plans map[uuid.UUID]map[string]int64 // what an order wants never changes
}

func newModel() *model {
	return &model{map[string]*int64{}, map[uuid.UUID]map[string]int64{}, map[uuid.UUID]bool{}, map[uuid.UUID]map[string]int64{}}
}

func (m *model) reserved(sku string) (n int64) {
	for _, held := range m.held {
		n += held[sku]
	}
	return n
}

func (m *model) fits(sku string, n int64) bool {
	stock, known := m.stock[sku]
	return known && (stock == nil || m.reserved(sku)+n <= *stock)
}

func (m *model) reserve(order uuid.UUID) bool {
	if m.held[order] != nil || m.sent[order] {
		return true
	}
	for sku, n := range m.plans[order] {
		if !m.fits(sku, n) {
			return false
		}
	}
	m.held[order] = m.plans[order]
	return true
}

func (m *model) ship(order uuid.UUID) {
	if m.held[order] == nil {
		return
	}
	for sku, n := range m.held[order] {
		if stock := m.stock[sku]; stock != nil {
			m.stock[sku] = new(*stock - n)
		}
	}
	m.sent[order] = true
	delete(m.held, order)
}

// SPEC B2, B4, B5: for any sequence of operations, the database agrees with the model, and stock,
// reservations and movements add up after every operation.
func TestStockAgainstModel_B2_B4_B5(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := context.Background()

	rapid.Check(t, func(rt *rapid.T) {
		prefix := uuid.NewString()[:8] // every run has products of its own
		skus := []string{prefix + "-a", prefix + "-b", prefix + "-c"}
		m := newModel()
		for _, sku := range skus {
			m.stock[sku] = stockOf(rt)
			s.stock(m.stock[sku], sku)
		}
		var orders []uuid.UUID
		for range 6 {
			order := uuid.New()
			orders, m.plans[order] = append(orders, order), map[string]int64{}
			for _, sku := range rapid.SliceOfNDistinct(rapid.SampledFrom(skus), 1, 3, rapid.ID).Draw(rt, "skus") {
				m.plans[order][sku] = rapid.Int64Range(1, 6).Draw(rt, "quantity")
			}
		}
		some := rapid.SliceOfNDistinct(rapid.SampledFrom(orders), 1, 4, rapid.ID)

		rt.Repeat(map[string]func(*rapid.T){
			"reserve": func(rt *rapid.T) {
				var batch []wants
				for _, order := range some.Draw(rt, "orders") {
					batch = append(batch, wants{order, m.plans[order]})
				}
				short, err := reserve(s.Module, batch...)
				if err != nil {
					rt.Fatal(err)
				}
				for _, w := range batch {
					if got, expected := short[w.order] == nil, m.reserve(w.order); got != expected {
						rt.Fatalf("%v reserved: %v, on paper %v", w.units, got, expected)
					}
				}
			},
			"release": func(rt *rapid.T) {
				list := some.Draw(rt, "orders")
				released, err := release(s.Module, list...)
				if err != nil {
					rt.Fatal(err)
				}
				for _, order := range list {
					if len(released[order]) != len(m.held[order]) {
						rt.Fatalf("released %v, on paper %v", released[order], m.held[order])
					}
					delete(m.held, order)
				}
			},
			"ship": func(rt *rapid.T) {
				list := some.Draw(rt, "orders")
				shipped, err := ship(s.Module, list...)
				if err != nil {
					rt.Fatal(err)
				}
				for _, order := range list {
					if !maps.Equal(shipped[order], m.held[order]) {
						rt.Fatalf("shipped %v, on paper %v", shipped[order], m.held[order])
					}
					m.ship(order)
				}
			},
			"adjust": func(rt *rapid.T) {
				sku := rapid.SampledFrom(skus).Draw(rt, "sku")
				delta := rapid.Int64Range(-8, 8).Filter(func(n int64) bool { return n != 0 }).Draw(rt, "delta")
				_, err := s.adjust(ctx, s.admin, idempotency.Key[*ent.Movement]{}, sku, delta, "counted")
				stock := m.stock[sku]
				switch {
				case stock == nil:
					expect(rt, err, "untracked")
				case *stock+delta < m.reserved(sku):
					expect(rt, err, "below-reserved")
				default:
					expect(rt, err, "")
					m.stock[sku] = new(*stock + delta)
				}
			},
			"edit": func(rt *rapid.T) {
				sku, stock := rapid.SampledFrom(skus).Draw(rt, "sku"), stockOf(rt)
				_, err := s.change(ctx, s.admin, sku, always, change{stock: &stock})
				if stock != nil && *stock < m.reserved(sku) {
					expect(rt, err, "below-reserved")
					return
				}
				expect(rt, err, "")
				m.stock[sku] = stock
			},
			"": func(rt *rapid.T) {
				for _, sku := range skus {
					p, err := live(ctx, s.pool, sku)
					if err != nil {
						rt.Fatal(err)
					}
					if !same(p.Stock, m.stock[sku]) || p.Reserved != m.reserved(sku) {
						rt.Fatalf("%s: stock %v reserved %d, on paper %v and %d", sku, p.Stock, p.Reserved, m.stock[sku], m.reserved(sku))
					}
				}
				s.audit()
			},
		})
	})
}

func stockOf(rt *rapid.T) *int64 {
	if n := rapid.Int64Range(-2, 15).Draw(rt, "stock"); n >= 0 {
		return &n
	}
	return nil
}

func expect(rt *rapid.T, err error, code string) {
	rt.Helper()
	if code == "" && err != nil || code != "" && !fault.Is(err, code) {
		rt.Fatalf("got %v, want %q", err, code)
	}
}
