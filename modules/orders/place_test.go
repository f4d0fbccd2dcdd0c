package orders_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// C2: an order, its lines, its first event, its key and its job are one commit.
func TestPlaceCommitsEverythingTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10, "B": -1})

	a, err := b.Place(b.ctx, b.alice, basket("A", 2, "B", 3, "A", 1), key(b.alice, "k", "body"))

	if err != nil {
		t.Fatal(err)
	}
	o := a.Value
	if o.Status != "PENDING" || o.Total != (money.Money{Amount: 600, Currency: "EUR"}) || len(o.Items) != 3 || o.Version != 1 {
		t.Errorf("order is %+v", o)
	}
	for _, query := range []string{
		`select count(*) from orders where id = $1 and status = 'PENDING' and total = 600`,
		`select count(*) - 2 from order_lines where order_id = $1`,
		`select count(*) from events where order_id = $1 and type = 'order.created' and version = 1`,
		`select count(*) from river_job where args->>'orderId' = $1::text and kind = 'order_process'`,
		`select count(*) from idempotency_keys where key = 'k' and status = 201 and convert_from(body, 'utf8') like '%' || $1::text || '%'`,
	} {
		if n := b.count(query, o.ID); n != 1 {
			t.Errorf("%s: %d", query, n)
		}
	}
	if got, err := b.Get(b.ctx, b.alice, o.ID); err != nil || got.Total != o.Total || got.Items[1].Name != "Name of B" {
		t.Errorf("read back %+v, %v", got, err)
	}
}

// C1: every unfit line is named at once, and totals are exact.
func TestPlaceNamesEveryFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10, "OFF": 10})
	b.exec(`update products set active = false where sku = 'OFF'`)
	for sku, p := range map[string]money.Money{"USD": {Amount: 5, Currency: "USD"}, "DEAR": {Amount: math.MaxInt64 - 200, Currency: "EUR"}} {
		b.exec(`insert into products (sku, name, unit_price, currency, created_at, updated_at) values ($1, $1, $2, $3, now(), now())`,
			sku, p.Amount, p.Currency)
	}
	rows := []struct {
		name   string
		wanted orders.OrderRequest
		want   string // pointer:code, space between
	}{
		{"unknown and inactive", basket("NOPE", 1, "A", 1, "OFF", 1), "/items/0/sku:unknown-sku /items/2/sku:inactive-sku"},
		{"two currencies", basket("A", 1, "USD", 1), "/items/1/sku:currency-mismatch"},
		{"line overflows", basket("DEAR", 2), "/items/0/quantity:overflow"},
		{"sum overflows", basket("A", 2, "DEAR", 1, "A", 1), "/items/2/quantity:overflow"},
		{"sum just fits", basket("A", 2, "DEAR", 1), ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			_, err := b.Place(b.ctx, b.alice, row.wanted, idempotency.Key[orders.Order]{})

			var got []string
			if f, ok := fault.As(err); ok && f.Kind == fault.KindInvalid {
				for _, e := range f.Fields {
					got = append(got, e.Pointer+":"+e.Code)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("faults are %q, want %q", got, row.want)
			}
		})
	}
}

// C3: many at once with one key are one order; all that answer answer the same.
func TestSameKeyActsOnce(t *testing.T) {
	t.Parallel()
	one := setup(t)
	two := node(t, one.url)
	one.products(map[string]int64{"A": -1})

	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		first  int
		bodies [][]byte
	)
	for i := range 30 {
		b := []*bundle{one, two}[i%2]
		all.Go(func() {
			a, err := b.Place(b.ctx, one.alice, basket("A", 1), key(one.alice, "same", "body"))
			if fault.Is(err, "idempotency-key-in-use") {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			bodies = append(bodies, a.Response.Body)
			if !a.Replayed {
				first++
			}
		})
	}
	all.Wait()

	if n := one.count(`select count(*) from orders`); n != 1 || first != 1 {
		t.Errorf("%d orders, %d first answers", n, first)
	}
	for _, body := range bodies {
		if !bytes.Equal(body, bodies[0]) {
			t.Errorf("answers differ: %s and %s", body, bodies[0])
		}
	}
}

// C3: who, where and what belong to the key.
func TestKeyIsScoped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	if _, err := b.Place(b.ctx, b.alice, basket("A", 1), key(b.alice, "k", "body")); err != nil {
		t.Fatal(err)
	}

	_, other := b.Place(b.ctx, b.alice, basket("A", 2), key(b.alice, "k", "another body"))
	bobs, err := b.Place(b.ctx, b.bob, basket("A", 2), key(b.bob, "k", "another body"))

	if !fault.Is(other, "idempotency-key-reused") {
		t.Errorf("another body: %v", other)
	}
	if err != nil || bobs.Replayed {
		t.Errorf("another caller: replayed %v, %v", bobs.Replayed, err)
	}
}

// C3: a repeated request gets the stored response, also after the catalogue has changed.
func TestReplayOutlivesTheCatalogue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	first, err := b.Place(b.ctx, b.alice, basket("A", 1), key(b.alice, "k", "body"))
	if err != nil {
		t.Fatal(err)
	}
	b.exec(`update products set active = false`)
	b.exec(`update catalogue set version = version + 1`)
	b.stock.Forget()

	again, err := b.Place(b.ctx, b.alice, basket("A", 1), key(b.alice, "k", "body"))

	if err != nil || !again.Replayed || !bytes.Equal(first.Response.Body, again.Response.Body) {
		t.Errorf("replayed %v, %v", again.Replayed, err)
	}
}

// C3: keys live for 24 hours.
func TestOldKeyIsFree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	if _, err := b.Place(b.ctx, b.alice, basket("A", 1), key(b.alice, "k", "body")); err != nil {
		t.Fatal(err)
	}
	b.exec(`update idempotency_keys set created_at = now() - interval '24 hours 1 minute'`)

	a, err := b.Place(b.ctx, b.alice, basket("A", 2), key(b.alice, "k", "another body"))

	if err != nil || a.Replayed {
		t.Errorf("replayed %v, %v", a.Replayed, err)
	}
}

// C4: a reference is unique per caller, and the refusal names the order that has it.
func TestReferenceIsUniquePerCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	w := basket("A", 1)
	w.Reference = new("PO-1")

	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		placed []uuid.UUID
		named  []any
	)
	for i := range 20 {
		all.Go(func() {
			a, err := b.Place(b.ctx, b.alice, w, key(b.alice, fmt.Sprint("k", i), "body"))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				placed = append(placed, a.Value.ID)
				return
			}
			f, ok := fault.As(err)
			if !ok || f.Code != "reference-taken" || f.Kind != fault.KindConflict {
				t.Errorf("refused with %v", err)
				return
			}
			named = append(named, f.Extra["orderId"])
		})
	}
	all.Wait()

	if len(placed) != 1 || len(named) != 19 {
		t.Fatalf("%d placed, %d refused", len(placed), len(named))
	}
	for _, id := range named {
		if fmt.Sprint(id) != placed[0].String() {
			t.Errorf("named %v, want %v", id, placed[0])
		}
	}
	if _, err := b.Place(b.ctx, b.bob, w, idempotency.Key[orders.Order]{}); err != nil {
		t.Errorf("another caller: %v", err)
	}
	// The refusal is not stored with its key, because the reference may become free (C3).
	for i := range 20 {
		_, err := b.Place(b.ctx, b.alice, w, key(b.alice, fmt.Sprint("k", i), "body"))
		if f, ok := fault.As(err); ok && (f.Code != "reference-taken" || f.Replayed || fmt.Sprint(f.Extra["orderId"]) != placed[0].String()) {
			t.Errorf("the repeated refusal is %+v", f)
		}
	}
}

// F9: an order is never priced with a catalogue older than an acknowledged change.
func TestPriceIsNeverStale(t *testing.T) {
	t.Parallel()
	one := setup(t)
	two := node(t, one.url)
	one.products(map[string]int64{"A": -1})
	two.place(two.alice, basket("A", 1)) // node two remembers 1.00 now

	for cents := int64(200); cents < 210; cents++ {
		one.exec(`with v as (update catalogue set version = version + 1) update products set unit_price = $1`, cents)

		if o := two.place(two.alice, basket("A", 1)); o.Total.Amount != cents {
			t.Fatalf("priced at %d, want %d", o.Total.Amount, cents)
		}
	}
}

// A batch holds one bad item: only it fails, and all other orders are placed.
func TestBadItemFailsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})

	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			w := basket("A", 1)
			if i == 17 {
				w.Note = new("a NUL \x00 that the edge should have refused")
			}
			_, err := b.Place(b.ctx, b.alice, w, idempotency.Key[orders.Order]{})
			if (err != nil) != (i == 17) {
				t.Errorf("order %d: %v", i, err)
			}
		})
	}
	all.Wait()

	if n := b.count(`select count(*) from orders`); n != 39 {
		t.Errorf("%d orders", n)
	}
}

// A database that goes away refuses with an error that is not "failed" once the
// outcome is open, and places nothing twice.
func TestPlaceWhenStopped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	b.pool.Close()

	_, err := b.Place(b.ctx, b.alice, basket("A", 1), idempotency.Key[orders.Order]{})

	if err == nil || errors.Is(err, fault.NotFound("order")) {
		t.Errorf("error is %v", err)
	}
}
