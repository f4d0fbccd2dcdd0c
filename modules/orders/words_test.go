package orders_test

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// SPEC C20: lists and exports find an order by the words of its texts, and by nothing without a word.
func TestWords_C20(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A-0.9": -1})
	w := basket("A-0.9", 1)
	w.Reference, w.Note = new("PO/2026-01"), new("Kettle 0.9 l, O'Neil e-mail हिन्दी ÄPFEL Straße กาต้มน้ำไฟฟ้า 🎁")
	want := b.place(b.alice, w).ID
	b.place(b.alice, basket("A-0.9", 1))

	for _, q := range []string{"2026-01", "kettle,", "O’NEIL", "e-mail kettle", "हिन्दी", norm.NFD.String("äpfel"), "STRASSE", "น้ำ", "🎁", "0.9 l", "a-0.9 neil"} {
		if got := b.ids(b.alice, orders.Filter{Words: q}); len(got) != 1 || got[0] != want {
			t.Errorf("%q finds %v", q, got)
		}
		if got := b.exported(false, orders.Filter{Words: q}); len(got) != 1 || got[0] != want {
			t.Errorf("%q exports %v", q, got)
		}
	}
	for _, q := range []string{"-", " - ", "...", "neils", "apfel", "kettle kettles"} {
		if got := b.ids(b.alice, orders.Filter{Words: q}); len(got) != 0 {
			t.Errorf("%q finds %v", q, got)
		}
		if got := b.exported(false, orders.Filter{Words: q}); len(got) != 0 {
			t.Errorf("%q exports %v", q, got)
		}
	}
}

// SPEC C20, G1: the terms of orders that an earlier version placed are cut again, once.
func TestReindex_C20(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	w := basket("A", 1)
	w.Note = new("O'Neil")
	o := b.place(b.alice, w)
	b.exec(`update order_terms set terms = array['o''neil'], rule = default`)
	b.exec(`insert into order_terms (order_id, terms) values (gen_random_uuid(), array['lost'])`)
	if got := b.ids(b.alice, orders.Filter{Words: "neil"}); len(got) != 0 {
		t.Fatalf("found %v", got)
	}

	for _, want := range []int{2, 0} {
		if n, err := b.ReindexOnce(b.ctx); n != want || err != nil {
			t.Errorf("cut %d again, want %d: %v", n, want, err)
		}
	}
	if got := b.ids(b.alice, orders.Filter{Words: "neil"}); len(got) != 1 || got[0] != o.ID {
		t.Errorf("found %v", got)
	}
	if n := b.count(`select count(*) from order_terms where terms = array['lost']`); n != 1 {
		t.Errorf("%d terms without an order", n)
	}
}

// SPEC C2, C3, C4: a reference that is taken is no result to store: the key leaves nothing behind, and the
// same request places the order once the reference is free.
func TestReferenceTakenIsNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	w := basket("A", 1)
	w.Reference = new("PO-1")
	first := b.place(b.alice, w)
	k := key(b.alice, "again", "body")
	again := func() (idempotency.Result[orders.Order], error) { return b.Place(b.ctx, b.alice, w, k) }

	for range 3 {
		if got, err := again(); !fault.Is(err, "reference-taken") {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if n := b.count(`select count(*) from idempotency_keys`); n != 0 {
		t.Errorf("%d keys are stored", n)
	}
	if err := b.Delete(b.ctx, b.admin, first.ID, nil); err != nil {
		t.Fatal(err)
	}
	placed, err := again()
	if err != nil || placed.Replayed {
		t.Fatalf("%+v, %v", placed, err)
	}
	if repeated, err := again(); err != nil || !repeated.Replayed || !bytes.Equal(repeated.Response.Body, placed.Response.Body) {
		t.Errorf("%+v, %v", repeated, err)
	}
	if n := b.count(`select count(*) from orders where deleted_at is null`); n != 1 {
		t.Errorf("%d orders", n)
	}
}

// SPEC C22, C23: a reference is one text in all spellings, and is free again after its order was deleted.
func TestReferences_C22(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	w := basket("A", 1)
	w.Reference = new(norm.NFD.String("Büro-1"))
	o := b.place(b.alice, w)
	if *o.Reference != norm.NFC.String("Büro-1") {
		t.Errorf("the reference is %+q", *o.Reference)
	}
	w.Reference = new(norm.NFC.String("Büro-1"))
	taken := func() error {
		_, err := b.Place(b.ctx, b.alice, w, idempotency.Key[orders.Order]{})
		return err
	}
	if err := taken(); !fault.Is(err, "reference-taken") {
		t.Errorf("the other spelling: %v", err)
	}
	for _, spelling := range []string{norm.NFC.String("Büro-1"), norm.NFD.String("Büro-1")} {
		if got := b.ids(b.alice, orders.Filter{Reference: spelling}); len(got) != 1 {
			t.Errorf("%+q finds %v", spelling, got)
		}
	}

	if err := b.Delete(b.ctx, b.admin, o.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := taken(); err != nil {
		t.Errorf("after the deletion: %v", err)
	}
	if n := b.count(`select count(*) from orders where deleted_reference = $1 and reference is null`, *o.Reference); n != 1 {
		t.Errorf("%d deleted orders keep their reference", n)
	}
}

// SPEC C25: an order is placed at the total that the customer saw, or not at all.
func TestExpectedTotal_C25(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	w := basket("A", 3)
	total := b.place(b.alice, w).Total

	w.ExpectedTotal = &total
	b.place(b.alice, w)
	for _, wrong := range []money.Money{{Amount: total.Amount + 1, Currency: total.Currency}, {Amount: total.Amount, Currency: "USD"}, {}} {
		w.ExpectedTotal = &wrong
		_, err := b.Place(b.ctx, b.alice, w, key(b.alice, "k", "body"))
		if f, _ := fault.As(err); f == nil || f.Code != "price-changed" || f.Kind != fault.KindConflict || f.Extra["total"] != total {
			t.Errorf("expected %v: %v", wrong, err)
		}
	}

	w.ExpectedTotal = &total
	b.exec(`with v as (update catalogue set version = version + 1) update products set unit_price = 99900, currency = 'USD'`)
	_, err := b.Place(b.ctx, b.alice, w, key(b.alice, "k", "body"))
	if f, _ := fault.As(err); f == nil || f.Code != "price-changed" || fmt.Sprint(f.Extra["total"]) != "{299700 USD}" {
		t.Errorf("after the change: %v", err)
	}
	w.ExpectedTotal = &money.Money{Amount: 299700, Currency: "USD"}
	if _, err := b.Place(b.ctx, b.alice, w, key(b.alice, "k", "body")); err != nil {
		t.Errorf("with the new price and the same key, whose refusal is not stored: %v", err)
	}
}

// SPEC C21: an amount that the provider can never take is refused before the order is accepted, with all other faults.
func TestUnpayableAmount_C21(t *testing.T) {
	t.Parallel()
	b := setup(t, func(d *orders.Deps) {
		d.NeedsMethod = true
		d.CheckAmount = func(m money.Money) string {
			if m.Amount%10 != 0 {
				return "cannot be paid"
			}
			return ""
		}
	})
	b.products(map[string]int64{"A": -1})
	b.exec(`with v as (update catalogue set version = version + 1) update products set unit_price = 1234, currency = 'KWD'`)
	codes := func(err error) (list []string) {
		f, _ := fault.As(err)
		if f == nil {
			return nil
		}
		for _, field := range f.Fields {
			list = append(list, field.Pointer+" "+field.Code)
		}
		return list
	}

	_, err := b.Place(b.ctx, b.alice, basket("A", 1), idempotency.Key[orders.Order]{})
	if got := fmt.Sprint(codes(err)); got != "[/items amount-not-payable /paymentMethod required]" {
		t.Errorf("place: %s", got)
	}
	_, err = b.Quote(b.ctx, basket("A", 1).Items)
	if got := fmt.Sprint(codes(err)); got != "[/items amount-not-payable]" {
		t.Errorf("quote: %s", got)
	}
	w := basket("A", 5)
	w.PaymentMethod = new("pm")
	b.place(b.alice, w)
	if n := b.count(`select count(*) from orders`); n != 1 {
		t.Errorf("%d orders", n)
	}
}
