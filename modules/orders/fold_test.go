package orders_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// E1: folding the events of an order yields the order after any sequence of commands, and its
// versions number the events without a gap.
func TestEventsFoldToTheOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000, "B": 5, "C": -1, "FREE": -1})
	b.exec(`update products set unit_price = 0 where sku = 'FREE'`)

	rapid.Check(t, func(r *rapid.T) {
		b.actAndCheck(r, func() {})
	})
}

// actAndCheck places orders and does anything to them, and checks what must hold afterwards. It
// calls before ahead of every act.
func (b *bundle) actAndCheck(r *rapid.T, before func()) {
	var ids []uuid.UUID
	for range rapid.IntRange(5, 40).Draw(r, "acts") {
		before()
		if len(ids) == 0 || rapid.IntRange(0, 11).Draw(r, "place") == 0 {
			ids = append(ids, b.placeAny(r))
			continue
		}
		b.doAny(r, rapid.SampledFrom(ids).Draw(r, "order"))
	}

	b.checkBooks(r)
	for _, id := range ids {
		b.checkHistory(r, id)
	}
}

func (b *bundle) placeAny(r *rapid.T) uuid.UUID {
	w := basket(rapid.SampledFrom([]string{"A", "B", "C", "FREE"}).Draw(r, "sku"), rapid.IntRange(1, 9).Draw(r, "quantity"))
	if rapid.Bool().Draw(r, "second") {
		w.Items = append(w.Items, orders.OrderRequestItem{SKU: "A", Quantity: 1})
	}
	w.OnShortage = rapid.SampledFrom([]string{"fail", "hold", ""}).Draw(r, "onShortage")
	w.PaymentMethod = rapid.SampledFrom([]*string{nil, nil, new("pm_card_visa"), new("pm_card_chargeDeclined"), new("pm_sim_captureFails"), new("pm_sim_refundFails")}).Draw(r, "method")
	w.GivenRequest = orders.GivenRequest(orders.SomeGiven)
	w.Reference = nil // it is unique among the orders of a user
	w.Metadata = orders.Metadata(`{"b":1.50,"a":[12345678901234567890]}`)
	return b.place(b.alice, w).ID
}

// doAny does one of all the things that can be done to an order. What the table
// refuses must be refused as such, and a deleted order be absent; everything else
// must work.
func (b *bundle) doAny(r *rapid.T, id uuid.UUID) {
	move := func(to lifecycle.Status) func() error {
		return func() error {
			m := orders.StatusChangeRequest{Status: to, Reason: new("because")}
			if to == lifecycle.Shipped {
				m.Tracking = new("1Z999")
			}
			_, err := b.SetStatus(b.ctx, b.admin, id, m, nil)
			return err
		}
	}
	refund := func(amount *money.Money, skus []string, units []int64) func() error {
		return func() error {
			_, err := b.Refund(b.ctx, b.admin, id, amount, skus, units, "broken", idempotency.Key[settlement.Refund]{})
			return err
		}
	}
	acts := map[string]func() error{
		"advance": func() error { b.turn(id); return nil },
		"cancel": func() error {
			_, err := b.Cancel(b.ctx, b.alice, id, new("because"), nil, idempotency.Key[orders.Order]{})
			return err
		},
		"ship": move(lifecycle.Shipped), "complete": move(lifecycle.Completed), "hold": move(lifecycle.OnHold), "reopen": move(lifecycle.Pending),
		"release": func() error {
			_, err := b.Release(b.ctx, b.admin, id, nil, idempotency.Key[orders.Order]{})
			return err
		},
		"refund some": refund(&money.Money{Amount: 40, Currency: "EUR"}, nil, nil),
		"refund A":    refund(nil, []string{"A"}, []int64{1}),
		"stall": func() error {
			b.exec(`delete from river_job where args->>'orderId' = $1`, id.String())
			b.exec(`update orders set due_at = now() - interval '1 s' where id = $1 and due_at is not null`, id)
			_, err := b.SweepOnce(b.ctx)
			return err
		},
		"expire": func() error {
			b.exec(`update orders set reserved_until = now() - interval '1 s' where id = $1 and reserved_until is not null`, id)
			_, err := b.ExpireOnce(b.ctx)
			return err
		},
		"delete": func() error { return b.Delete(b.ctx, b.admin, id, nil) },
		"restock": func() error {
			b.exec(`with p as (update products set stock = stock + 3 where sku = 'B' returning stock)
				insert into movements (id, sku, delta, stock, reason, actor, at) select $1, 'B', 3, stock, 'found', 'system', now() from p`, uuid.Must(uuid.NewV7()))
			return nil
		},
		"complete step": func() error {
			step := rapid.SampledFrom([]string{"fraud", "approval", "credit"}).Draw(r, "step")
			_, err := b.CompleteStep(b.ctx, b.admin, id, step, nil, nil, idempotency.Key[orders.Order]{})
			return err
		},
		"retry":    func() error { return b.resolveAny(id, "retry") },
		"skip":     func() error { return b.resolveAny(id, "skip") },
		"dead end": func() error { return b.resolveAny(id, "cancel") },
	}
	names := slices.Sorted(maps.Keys(acts))
	name := rapid.SampledFrom(append(names, "advance", "advance", "advance", "advance", "advance", "advance", "ship", "ship", "refund some", "retry")).Draw(r, "act")
	err := acts[name]()
	if f, told := fault.As(err); err != nil && (!told || f.Kind != fault.KindConflict && f.Kind != fault.KindInvalid && f.Kind != fault.KindNotFound) {
		r.Fatalf("%s: %v", name, err)
	}
}

// turn runs a job of the order's as the worker does, to its end or to its last try.
func (b *bundle) turn(id uuid.UUID) {
	b.t.Helper()
	err := b.Advance(b.ctx, id)
	if err == nil {
		return
	}
	w := orders.GiveUp(b.Module)
	if giveUp := w(b.ctx, id, err); giveUp != nil {
		b.t.Fatal(giveUp)
	}
}

func (b *bundle) resolveAny(id uuid.UUID, how string) error {
	list, err := b.DeadLetters(b.ctx, orders.DeadLetterQuery{Orders: []uuid.UUID{id}, Limit: 10})
	if err != nil || len(list) == 0 {
		return err
	}
	_, err = b.Resolve(b.ctx, b.admin, list[0].ID, how, new("a person said so"), idempotency.Key[orders.Order]{})
	return err
}

// checkFold compares an order's events, added up, with its row.
func (b *bundle) checkFold(t tester, id uuid.UUID, list []events.Event) {
	t.Helper()
	folded, err := orders.Fold(list)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if n := b.count(`select version from orders where id = $1`, id); n != int64(len(list)) {
		t.Errorf("order %s: %d events, version %d", id, len(list), n)
	}
	read, err := b.Get(b.ctx, b.admin, id)
	if fault.Is(err, "not-found") {
		return // it is deleted
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	read.AllowedActions = nil
	if got, want := plain(t, folded), plain(t, read); !reflect.DeepEqual(got, want) {
		t.Errorf("folded %v\nrow    %v", got, want)
	}
}

func plain(t tester, o orders.Order) (m map[string]any) {
	t.Helper()
	raw, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

// A hole in the versions is an error, not an order.
func TestFoldRefusesAHole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1})
	o := b.processed(b.alice, basket("A", 1))
	list, err := b.log.History(b.ctx, o.ID)
	if err != nil {
		t.Fatal(err)
	}

	_, err = orders.Fold(append([]events.Event{list[0]}, list[2:]...))

	if err == nil {
		t.Error("folded")
	}
}
