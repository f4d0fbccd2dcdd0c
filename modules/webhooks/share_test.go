package webhooks

import (
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
)

// SPEC F10: an owner whose endpoints hang keeps its own share of a node's slots, however
// many endpoints and deliveries there are, and another owner's first delivery arrives
// while all of them hang.
func TestOneOwnerDoesNotTakeAllSlots(t *testing.T) {
	t.Parallel()
	const slots, ofOwner, endpoints, orders = 12, 5, 5, 40
	h := setup(t)
	leave := make(chan struct{})
	open := sync.OnceFunc(func() { close(leave) })
	slow := receive(t, func(received) reply { return reply{status: 200, after: func() { <-leave }} })
	quick := receive(t, nil)
	n := h.node(func(m *Module) { m.shares = newShares(slots, ofOwner, 3) })
	t.Cleanup(open)
	for range endpoints {
		n.hook(h.alice, slow.URL, "")
	}
	n.hook(h.bob, quick.URL, "")
	for range orders {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	n.Wake()
	slow.take(ofOwner)
	until(t, "all deliveries to be written down", func() bool {
		return h.count(`select count(*) from webhook_deliveries`) == endpoints*orders
	})

	n.happens(h.bob, uuid.New(), "order.created")
	quick.next()
	slow.quiet()
	if n := h.count(`select count(*) from webhook_deliveries where status = 'delivered'`); n > 1 {
		t.Errorf("%d deliveries ended meanwhile", n)
	}

	open()
	until(t, "all to be taken", func() bool {
		return h.count(`select count(*) from webhook_deliveries where status = 'delivered'`) == endpoints*orders+1
	})
}

// returns are the tries that come again, by when.
type returns []time.Time

func (r *returns) Len() int           { return len(*r) }
func (r *returns) Less(i, j int) bool { return (*r)[i].Before((*r)[j]) }
func (r *returns) Swap(i, j int)      { (*r)[i], (*r)[j] = (*r)[j], (*r)[i] }
func (r *returns) Push(x any)         { *r = append(*r, x.(time.Time)) }
func (r *returns) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// Each try that comes in vain is a write to the database: with thousands waiting for
// endpoints that hang, they come back a few times and then at a bounded rate.
func TestTriesThatWaitComeBackRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const waiting, minutes = 20_000, 5
		s := newShares(100, 25, 20)
		owner, endpoints := uuid.New(), make([]uuid.UUID, 50)
		for i := range endpoints {
			endpoints[i] = uuid.New()
		}
		begin := time.Now()
		var due returns
		for range waiting {
			due = append(due, begin)
		}
		perMinute := make([]int, minutes+1)
		for i := 0; due[0].Before(begin.Add(minutes * time.Minute)); i++ {
			<-time.After(time.Until(due[0]))
			leave, wait, err := s.enter(owner, endpoints[i%len(endpoints)])
			if err == nil { // hangs for as long as a try may
				time.AfterFunc(tryWithin, leave)
				heap.Pop(&due)
				continue
			}
			perMinute[time.Since(begin)/time.Minute]++
			due[0] = time.Now().Add(wait)
			heap.Fix(&due, 0)
		}
		if first := perMinute[0]; first > 5*waiting {
			t.Errorf("in the first minute %d tries of %d came in vain", first, waiting)
		}
		for minute, n := range perMinute[1:minutes] {
			if most := int(time.Minute/latePace) * 3 / 2; n > most {
				t.Errorf("in minute %d %d tries came in vain, want %d at most", minute+2, n, most)
			}
		}
	})
}

// However many owners take all they can, a further one finds a slot, and one that left
// nothing behind is forgotten.
func TestSharesOfManyOwners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShares(100, 25, 20)
		var leaves []func()
		for range 6 {
			owner := uuid.New()
			for i := 0; ; i++ {
				leave, wait, err := s.enter(owner, uuid.New())
				if err != nil {
					if wait <= 0 || !errors.Is(err, bulkhead.ErrKeyLimit) && !errors.Is(err, bulkhead.ErrLimit) {
						t.Errorf("refused with %v, come back in %s", err, wait)
					}
					break
				}
				leaves = append(leaves, leave)
			}
		}
		leave, _, err := s.enter(uuid.New(), uuid.New())
		if err != nil {
			t.Fatalf("a further owner: %v", err)
		}
		<-time.After(time.Second)
		for _, leave := range append(leaves, leave) {
			leave()
		}
		if held, _ := s.slots.Usage(); held+len(s.owners) != 0 {
			t.Errorf("%d slots are held, %d owners remembered", held, len(s.owners))
		}
	})
}

// A test takes a slot like a delivery: one at a time of an endpoint, a few of an owner.
func TestTestsAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	leave := make(chan struct{})
	open := sync.OnceFunc(func() { close(leave) })
	slow := receive(t, func(received) reply { return reply{status: 200, after: func() { <-leave }} })
	quick := receive(t, nil)
	n := h.idle(func(m *Module) { m.policy.ping = patience })
	t.Cleanup(open)
	var ids []string
	for range testsAtOnce + 1 {
		id, _ := n.hook(h.alice, slow.URL, "")
		ids = append(ids, id)
	}
	other, _ := n.hook(h.bob, quick.URL, "")
	test := func(id string) string { return "POST /v1/webhooks/" + id + "/test" }

	var all sync.WaitGroup
	for _, id := range ids[:testsAtOnce] {
		all.Go(func() { n.want(200, h.alice, test(id), "") })
	}
	slow.take(testsAtOnce)
	for what, id := range map[string]string{"the same endpoint": ids[0], "one more of the owner": ids[testsAtOnce]} {
		a := n.ask(h.alice, test(id), "")
		if a.status != 429 || a.text("code") != "too-many-tests" || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
	}
	slow.quiet()
	n.want(200, h.bob, test(other), "")

	open()
	all.Wait()
	n.want(200, h.alice, test(ids[testsAtOnce]), "")
	if held, _ := n.shares.slots.Usage(); held != 0 {
		t.Errorf("%d slots are held", held)
	}
}

// Jobs of a version before this one do not name the owner.
func TestJobWithoutOwner(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, nil)
	n := h.node()
	id, _ := n.hook(h.alice, r.URL, "")
	n.happens(h.alice, uuid.New(), "order.created")
	first := r.next()
	n.becomes(h.alice, id, 1, delivered)
	var args DeliverArgs
	var delivery uuid.UUID
	h.must(h.pool.QueryRow(h.ctx, `update webhook_deliveries set status = 'pending', due_at = now(), settled_at = null returning id`).Scan(&delivery))
	h.must(json.Unmarshal(fmt.Appendf(nil, `{"deliveryId":%q,"webhookId":%q}`, delivery, id), &args))
	if raw, err := json.Marshal(args); err != nil || string(raw) != fmt.Sprintf(`{"deliveryId":%q,"webhookId":%q}`, delivery, id) {
		t.Errorf("%s, %v", raw, err)
	}

	_, err := n.queue.Insert(h.ctx, args, &river.InsertOpts{Queue: Queue})
	h.must(err)

	if again := r.next(); again.header.Get("Webhook-Id") != first.header.Get("Webhook-Id") {
		t.Errorf("another message: %v", again.header)
	}
	n.becomes(h.alice, id, 1, delivered)
}
