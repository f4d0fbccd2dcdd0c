package orders_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// roleKey is a key as the route makes it, which knows its caller's role.
func roleKey[T any](c identity.Caller, route string, renderer idempotency.Renderer[T]) idempotency.Key[T] {
	return idempotency.Key[T]{Renderer: renderer, Request: idempotency.Request{
		Caller: c.UserID, Role: c.Role, Route: route, Key: "k", Fingerprint: []byte("0123456789abcdef0123456789abcdef"),
	}}
}

// C3, A5: a kept answer asks the same right as the act. A demoted administrator gets what
// the act would answer without the key.
func TestReplayAsksForTheRight_C3(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	demoted := b.admin
	demoted.Role = identity.User
	shown := func(r idempotency.Result[orders.Order], err error) (string, bool, error) {
		return string(r.Response.Body), r.Replayed, err
	}
	of := func(k idempotency.Request) idempotency.Key[orders.Order] {
		return idempotency.Key[orders.Order]{Request: k}
	}
	acts := map[string]func(c identity.Caller, o orders.Order, k idempotency.Request) (body string, replayed bool, err error){
		"cancel": func(c identity.Caller, o orders.Order, k idempotency.Request) (string, bool, error) {
			return shown(b.Cancel(b.ctx, c, o.ID, new("secret reason"), nil, of(k)))
		},
		"hold": func(c identity.Caller, o orders.Order, k idempotency.Request) (string, bool, error) {
			return shown(b.Hold(b.ctx, c, o.ID, "secret reason", nil, of(k)))
		},
		"release": func(c identity.Caller, o orders.Order, k idempotency.Request) (string, bool, error) {
			b.exec(`update orders set status = 'COMPLETED', due_at = null where id = $1`, o.ID)
			return shown(b.Release(b.ctx, c, o.ID, nil, of(k))) // a refusal that is kept: it tells the status
		},
		"refund": func(c identity.Caller, o orders.Order, k idempotency.Request) (string, bool, error) {
			r, err := b.Refund(b.ctx, c, o.ID, &money.Money{Amount: 1, Currency: "EUR"}, nil, nil, "secret reason", idempotency.Key[settlement.Refund]{Request: k})
			return string(r.Response.Body), r.Replayed, err
		},
	}
	for name, act := range acts {
		o := b.processed(b.alice, basket("A", 1))
		if name == "refund" {
			o = b.shipped(basket("A", 1))
			b.must(b.move(o.ID, lifecycle.Completed))
		}
		k := roleKey[orders.Order](b.admin, "POST "+name, nil).Request
		first, _, firstErr := act(b.admin, o, k)
		again, replayed, againErr := act(b.admin, o, k)
		if f, told := fault.As(againErr); !replayed && (!told || !f.Replayed) || first != again {
			t.Fatalf("%s: %s %v, again %s %v", name, first, firstErr, again, againErr)
		}

		k.Role = demoted.Role
		if body, _, err := act(demoted, o, k); !fault.Is(err, "not-found") {
			t.Errorf("%s, demoted: %s %v", name, body, err)
		}
		if err := b.Delete(b.ctx, b.admin, o.ID, nil); err != nil {
			t.Fatal(err)
		}
		k.Role = identity.Admin
		if body, _, err := act(b.admin, o, k); !fault.Is(err, "not-found") {
			t.Errorf("%s of a deleted order: %s %v", name, body, err)
		}
	}
}

// C3, C10: a demoted administrator still has their own order's answer, with what they
// may do with it now.
func TestReplayOfAnOwnAct_C3(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	o := b.place(b.admin, basket("A", 1))
	k := roleKey(b.admin, "POST cancel", orders.ChangedRenderer)
	first, err := b.Cancel(b.ctx, b.admin, o.ID, nil, nil, k)
	if err != nil || !slices.Contains(first.Value.AllowedActions, "delete") {
		t.Fatalf("%s %v", first.Response.Body, err)
	}
	demoted := b.admin
	demoted.Role, k.Role = identity.User, identity.User

	a, err := b.Cancel(b.ctx, demoted, o.ID, nil, nil, k)

	var got orders.Order
	want := first.Value
	if err := json.Unmarshal(a.Response.Body, &got); err != nil {
		t.Fatal(err)
	}
	if err != nil || !a.Replayed || len(got.AllowedActions) != 0 || got.Version != want.Version || got.Status != want.Status {
		t.Errorf("%s %v", a.Response.Body, err)
	}
}

// C3: a response about an order that does not exist, or that is somebody else's, is not stored: an
// account could fill the table with made-up ids. The key stays free.
func TestAbsentOrdersAreNotStored_C3(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	other := b.place(b.bob, basket("A", 1))
	for what, id := range map[string]uuid.UUID{"made up": uuid.New(), "of another account": other.ID} {
		k := roleKey[orders.Order](b.alice, "POST "+id.String(), nil)
		for range 2 {
			_, err := b.Cancel(b.ctx, b.alice, id, nil, nil, k)
			if f, told := fault.As(err); !told || f.Code != "not-found" || f.Replayed {
				t.Errorf("%s: %v", what, err)
			}
		}
		k.Fingerprint = []byte("fedcba9876543210fedcba9876543210")
		if _, err := b.Cancel(b.ctx, b.alice, id, nil, nil, k); !fault.Is(err, "not-found") {
			t.Errorf("%s, with another body: %v", what, err)
		}
	}
	if n := b.count(`select count(*) from idempotency_keys where caller = $1`, b.alice.UserID); n != 0 {
		t.Errorf("%d responses are stored", n)
	}

	own := b.place(b.alice, basket("A", 1))
	k := roleKey[orders.Order](b.alice, "POST cancel", nil)
	for range 2 {
		if _, err := b.Cancel(b.ctx, b.alice, own.ID, nil, nil, k); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.count(`select count(*) from idempotency_keys where caller = $1`, b.alice.UserID); n != 1 {
		t.Errorf("%d responses of an order that exists are stored", n)
	}
}

// C3: the key of an order that was deleted neither shows it nor places another one.
func TestReplayOfADeletedOrder_C3(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1, "B": -1})
	noted := func(sku string) orders.OrderRequest {
		w := basket(sku, 1)
		w.Note = new("a canary in a note")
		return w
	}
	k := roleKey(b.alice, "POST /v1/orders", orders.PlacedRenderer)
	first, err := b.Place(b.ctx, b.alice, noted("A"), k)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(b.ctx, b.admin, first.Value.ID, nil); err != nil {
		t.Fatal(err)
	}
	for _, sku := range []string{"A", "gone"} { // the second way: what was acceptable once
		if a, err := b.Place(b.ctx, b.alice, noted(sku), k); !fault.Is(err, "order-deleted") || len(a.Response.Body) > 0 {
			t.Errorf("%s: %s %v", sku, a.Response.Body, err)
		}
	}
	if n := b.count(`select count(*) from orders`); n != 1 {
		t.Errorf("%d orders", n)
	}

	all := roleKey(b.alice, "POST /v1/orders/bulk", orders.BulkRenderer)
	many := []orders.BulkOrder{{Request: noted("A")}, {Request: noted("B")}, {Request: noted("none")}}
	place := func() (body string, list []struct {
		Index, Status int
		Order         *orders.Order
		Error         *struct{ Code string }
	}) {
		a, err := b.PlaceMany(b.ctx, b.alice, many, false, all)
		if err != nil {
			t.Fatal(err)
		}
		var page struct{ Data any }
		page.Data = &list
		if err := json.Unmarshal(a.Response.Body, &page); err != nil {
			t.Fatal(err)
		}
		return string(a.Response.Body), list
	}
	before, list := place()
	if again, _ := place(); again != before {
		t.Errorf("replayed as %s", again)
	}
	if err := b.Delete(b.ctx, b.admin, list[0].Order.ID, nil); err != nil {
		t.Fatal(err)
	}

	after, list := place()

	if list[0].Status != 409 || list[0].Order != nil || list[0].Error == nil || list[0].Error.Code != "order-deleted" ||
		list[1].Status != 201 || list[1].Order == nil || list[2].Status != 422 || strings.Count(after, "canary") != 1 {
		t.Errorf("replayed as %s", after)
	}
}
