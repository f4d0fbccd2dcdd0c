package orders_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
)

// C8: what can be asked for and what cannot, in one order after the other. Each
// order is 3 A in two lines and 1 B, at 1.00 EUR each, with its money captured.
func TestRefundEdges(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": 1000, "B": 1000, "FREE": -1})
	f.exec(`update products set unit_price = 0 where sku = 'FREE'`)
	eur := func(n int) string {
		return fmt.Sprintf(`{"amount":{"amount":%d,"currency":"EUR"},"reason":"broken"}`, n)
	}
	items := func(pairs ...any) string {
		var list []string
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, fmt.Sprintf(`{"sku":%q,"quantity":%d}`, pairs[i], pairs[i+1]))
		}
		return `{"items":[` + strings.Join(list, ",") + `],"reason":"broken"}`
	}
	type step struct {
		body   string
		status int
		want   string // is in the answer
		end    string // paymentStatus after it
	}
	const captured, partly, all = "CAPTURED", "PARTIALLY_REFUNDED", "REFUNDED"
	for name, steps := range map[string][]step{
		"by amount, in parts": {
			{eur(150), 201, `"status":"PENDING","amount":{"amount":150,"currency":"EUR"},"items":[],"reason":"broken"`, partly},
			{eur(251), 409, `"code":"refund-exceeds-captured"`, partly},
			{eur(250), 201, `"amount":250`, all},
			{eur(1), 409, `"refundable":0`, all},
		},
		"all at once":     {{eur(400), 201, `"amount":400`, all}},
		"more than taken": {{eur(401), 409, `"refundable":400`, captured}},
		"by items, across lines": {
			{items("A", 3), 201, `"amount":{"amount":300,"currency":"EUR"},"items":[{"sku":"A","quantity":3}]`, partly},
			{items("A", 1), 409, `"code":"refund-exceeds-order"`, partly},
			{items("B", 1), 201, `"amount":100`, all},
		},
		"one sku in two items":           {{items("A", 1, "B", 1, "A", 2), 201, `"amount":400`, all}},
		"two items beyond what was sold": {{items("A", 2, "A", 2), 422, `"/items/1/quantity"`, captured}},
		"more units than were sold":      {{items("A", 4, "B", 2), 422, `"/items/1/quantity"`, captured}},
		"an unknown sku":                 {{items("C", 1), 422, `"code":"unknown-sku"`, captured}},
		"by items what went by amount": {
			{eur(350), 201, "", partly},
			{items("A", 1), 409, `"code":"refund-exceeds-captured"`, partly},
		},
		"nonsense": {
			{eur(0), 422, `"/amount/amount"`, captured},
			{eur(-1), 422, `"/amount/amount"`, captured},
			{`{"amount":{"amount":1,"currency":"USD"},"reason":"x"}`, 422, `"code":"currency-mismatch"`, captured},
			{`{"reason":"x"}`, 422, `"code":"one-of"`, captured},
			{`{"amount":{"amount":1,"currency":"EUR"},"items":[{"sku":"A","quantity":1}],"reason":"x"}`, 422, `"code":"one-of"`, captured},
			{`{"items":[],"reason":"x"}`, 422, `"code":"one-of"`, captured},
			{`{"amount":{"amount":1,"currency":"EUR"}}`, 422, `"/reason"`, captured},
			{items("A", 0), 422, `"/items/0/quantity"`, captured},
			{items("A", -1), 422, `"/items/0/quantity"`, captured},
			{eur(4000000000000000000), 409, `"refundable":400`, captured},
			{items("A", 500000000, "A", 500000000), 422, `"/items/0/quantity"`, captured},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := f.shipped(basket("A", 1, "B", 1, "A", 2))
			for _, s := range steps {
				got := f.reply("admin", "POST /v1/orders/"+o.ID.String()+"/refunds", s.body)
				f.settle()

				if got.status != s.status || !strings.Contains(string(got.body), s.want) {
					t.Errorf("%s is answered %d %s", s.body, got.status, got.body)
				}
				if now := f.get(o.ID); now.PaymentStatus != s.end || now.Refunding.Amount != 0 {
					t.Errorf("after %s: %+v", s.body, now)
				}
			}
		})
	}
	f.audit(t)
}

// C8: what was not paid for cannot be refunded.
func TestNothingToRefund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 10, "FREE": -1})
	b.exec(`update products set unit_price = 0 where sku = 'FREE'`)
	free, authorised := b.shipped(basket("FREE", 1)), b.processed(b.alice, basket("A", 1))
	mixed := b.shipped(basket("FREE", 2, "A", 1))

	_, one := b.tryRefund(free.ID, 1)
	_, two := b.tryRefund(authorised.ID, 1)
	_, three := b.Refund(b.ctx, b.admin, mixed.ID, nil, []string{"FREE"}, []int64{1}, "broken", idempotency.Key[settlement.Refund]{})

	if got := b.get(free.ID); got.PaymentStatus != "NONE" || b.count(`select count(*) from payments where order_id = $1`, free.ID) != 0 {
		t.Errorf("a free order was paid for: %+v", got)
	}
	refused(t, one, "nothing-captured")
	refused(t, two, "nothing-captured")
	refused(t, three, "invalid")
	b.audit(t)
}

// C8: parallel refunds of everything, of one line, and of small parts, on two nodes.
// One wins where only one can, and their sum is never above what was captured.
func TestParallelRefunds(t *testing.T) {
	t.Parallel()
	one := setup(t)
	two := one.another()
	one.products(map[string]int64{"A": 1000, "B": 1000})
	for name, row := range map[string]struct {
		callers, win int
		amount       int64
		units        []int64
		loses        string
	}{
		"everything": {callers: 2, win: 1, amount: 2000, loses: "refund-exceeds-captured"},
		"one line":   {callers: 2, win: 1, units: []int64{10}, loses: "refund-exceeds-order"},
		"parts":      {callers: 20, win: 14, amount: 140, loses: "refund-exceeds-captured"},
		"unit parts": {callers: 20, win: 10, units: []int64{1}, loses: "refund-exceeds-order"},
	} {
		t.Run(name, func(t *testing.T) {
			o := one.shipped(basket("A", 10, "B", 10))
			var (
				all      sync.WaitGroup
				mu       sync.Mutex
				outcomes = map[string]int{}
			)
			for i := range row.callers {
				b := []*bundle{one, two}[i%2]
				all.Go(func() {
					amount, skus := euro(row.amount), []string(nil)
					if row.units != nil {
						amount, skus = nil, []string{"A"}
					}
					_, err := b.Refund(b.ctx, b.admin, o.ID, amount, skus, row.units, "broken", idempotency.Key[settlement.Refund]{})
					code := ""
					if refusal, told := fault.As(err); told {
						code = refusal.Code
					} else if err != nil {
						code = err.Error()
					}
					mu.Lock()
					outcomes[code]++
					mu.Unlock()
					if err := b.Advance(b.ctx, o.ID); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()

			if outcomes[""] != row.win || outcomes[row.loses] != row.callers-row.win {
				t.Errorf("outcomes %v", outcomes)
			}
		})
	}
	one.settle()
	one.audit(t)
}

// C3: a refund that is asked for again with its key is asked for once, and so are
// the other acts.
func TestKeysOfActs(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": 10})
	id := f.shipped(basket("A", 5)).ID.String()
	open := f.processed(f.alice, basket("A", 1)).ID.String()
	for _, row := range []struct{ what, body, other string }{
		{"POST /v1/orders/" + id + "/refunds", `{"amount":{"amount":40,"currency":"EUR"},"reason":"x"}`, `{"amount":{"amount":41,"currency":"EUR"},"reason":"x"}`},
		{"POST /v1/orders/" + open + "/hold", `{"reason":"a"}`, `{"reason":"b"}`},
		{"POST /v1/orders/" + open + "/release", "", ""},
		{"POST /v1/orders/" + open + "/cancel", `{"reason":"a"}`, `{"reason":"b"}`},
	} {
		const k = "Idempotency-Key: k"
		before := f.count(`select count(*) from events`)

		first := f.reply("admin", row.what, row.body, k)
		again := f.reply("admin", row.what, row.body, k)

		if first.status >= 300 || again.status != first.status || !bytes.Equal(again.body, first.body) || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %d %s, then %d %s", row.what, first.status, first.body, again.status, again.body)
		}
		if row.other != "" {
			if got := f.reply("admin", row.what, row.other, k); got.code() != "idempotency-key-reused" {
				t.Errorf("%s with another body: %d %s", row.what, got.status, got.body)
			}
		}
		if row.what != "POST /v1/orders/"+open+"/cancel" { // which also releases
			before++
		} else {
			before += 2
		}
		if n := f.count(`select count(*) from events`); n != before {
			t.Errorf("%s: %d events, want %d", row.what, n, before)
		}
	}
	f.settle()
	f.audit(t)
}

// C3 in a race: one key, twenty callers, two nodes: one refund.
func TestParallelKeysRefundOnce(t *testing.T) {
	t.Parallel()
	one := setup(t)
	two := one.another()
	one.products(map[string]int64{"A": 10})
	id := one.shipped(basket("A", 5)).ID
	k := idempotency.Key[settlement.Refund]{Request: requestOf(one.admin, "k", "body")}

	var all sync.WaitGroup
	for i := range 20 {
		b := []*bundle{one, two}[i%2]
		all.Go(func() {
			_, err := b.Refund(b.ctx, b.admin, id, euro(40), nil, nil, "broken", k)
			if err != nil && !fault.Is(err, "idempotency-key-in-use") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	one.settle()

	if got := one.get(id); got.Refunded.Amount != 40 {
		t.Errorf("%d refunded", got.Refunded.Amount)
	}
	one.audit(t)
}

// C8, D4: units whose refund failed and that were refunded by another one since are
// not refunded once more by a retry.
func TestRetryRefundsUnitsOnce(t *testing.T) {
	t.Parallel()
	out := &outage{call: "refund"}
	b := scripted(t, simulated.Options{Script: out.script})
	b.products(map[string]int64{"A": 10, "B": 10})
	id := b.place(b.alice, basket("A", 2, "B", 2)).ID
	b.settle()
	b.ship(id)
	b.settle()
	ask := func() {
		_, err := b.Refund(b.ctx, b.admin, id, nil, []string{"A"}, []int64{2}, "broken", idempotency.Key[settlement.Refund]{})
		b.must(err)
		b.settle()
	}
	ask() // fails
	out.over.Store(true)
	ask()

	b.must(b.resolve(id, "retry"))
	b.settle()

	if got := b.get(id); got.Refunded.Amount != 200 || got.Stalled != nil {
		t.Errorf("%+v refunded for 2 units at 1.00", got.Refunded)
	}
	b.audit(t)
}
