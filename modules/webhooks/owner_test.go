package webhooks

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// page is the whole log.
func (h *bundle) page() []events.Event {
	h.t.Helper()
	log, err := events.OpenLog(h.ctx, h.pool)
	h.must(err)
	var p events.Page
	until(h.t, "the log to settle", func() bool {
		p, err = log.After(h.ctx, events.Cursor{}, uuid.Nil, 10000)
		h.must(err)
		return !p.Waiting
	})
	return p.Events
}

// fanOut does what the reader would, and moves it past all that there is.
func (h *bundle) fanOut(n *node, list []events.Event) {
	h.t.Helper()
	h.must(postgres.InTx(h.ctx, h.pool, func(tx pgx.Tx) error {
		last := list[len(list)-1].Cursor
		if _, err := tx.Exec(h.ctx, `update event_readers set xid = $1, seq = $2 where name = 'webhooks'`, last.Xid, last.Seq); err != nil {
			return err
		}
		return n.fanOut(h.ctx, tx, list)
	}))
}

// SPEC A5, E8: who lost the right to see orders is not told of them, neither of new
// ones nor of what is under way.
func TestOwnersWhoLostTheirRights(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.policy.waits = []time.Duration{time.Hour} })
	taken := receive(t, nil)
	r := receive(t, func(received) reply { return reply{status: 500} })
	root := h.account(identity.Admin)
	id, _ := n.hook(root, r.URL, "")
	bobs, _ := n.hook(h.bob, r.URL, "")
	n.hook(h.admin, taken.URL, "")
	n.happens(h.alice, uuid.New(), "order.created")
	n.happens(root, uuid.New(), "order.created")
	n.happens(h.bob, uuid.New(), "order.created")
	r.take(4)
	taken.take(3)
	until(t, "four to be tried again in an hour", func() bool {
		return h.count(`select count(*) from webhook_deliveries where status = 'pending' and tries = 1`) == 4 &&
			h.count(`select count(*) from river_job where queue = $1 and state = 'scheduled'`, Queue) == 4
	})

	h.people.becomes(root.UserID, identity.User)
	h.people.becomes(h.bob.UserID, "")
	r.plays(nil)
	n.happens(h.alice, uuid.New(), "order.created")
	n.happens(h.bob, uuid.New(), "order.created")
	n.happens(root, uuid.New(), "order.created")
	taken.take(3)
	h.exec(`update webhook_deliveries set due_at = now() where due_at > now()`) // the hour passes
	h.exec(`update river_job set state = 'available', scheduled_at = now() where state = 'scheduled'`)

	seen := map[uuid.UUID]int{}
	for range 2 { // the own order again, and the own new one
		seen[r.next().UserID]++
	}
	n.becomes(root, id, 1, withheld)
	n.becomes(root, id, 2, delivered)
	n.becomes(root, id, 3, withheld)
	n.becomes(root, id, 4, delivered)
	n.becomes(h.bob, bobs, 1, withheld)
	if seen[root.UserID] != 2 {
		t.Errorf("got %v", seen)
	}
	if got := len(n.statuses(h.bob, bobs)); got != 1 {
		t.Errorf("%d deliveries for a deleted user", got)
	}
	r.quiet()
}

func TestMaySee(t *testing.T) {
	t.Parallel()
	me, other := uuid.New(), uuid.New()
	for _, row := range []struct {
		role identity.Role
		user uuid.UUID
		want bool
	}{
		{identity.Admin, me, true}, {identity.Admin, other, true}, {identity.User, me, true}, {identity.User, other, false},
		{"", me, false}, {"", other, false}, {identity.Anyone, me, false},
	} {
		if got := maySee(me, row.role, row.user); got != row.want {
			t.Errorf("%q of %v: %v", row.role, row.user == me, got)
		}
	}
}

// An administrator's endpoint may be about one user.
func TestAboutOneUser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	r := receive(t, nil)
	id, _ := n.hook(h.admin, r.URL, fmt.Sprintf(`,"userId":%q`, h.alice.UserID))

	n.happens(h.bob, uuid.New(), "order.created")
	n.happens(h.admin, uuid.New(), "order.created")
	n.happens(h.alice, uuid.New(), "order.created")

	if in := r.next(); in.UserID != h.alice.UserID || in.DeliveryNumber != 1 {
		t.Errorf("got %s", in.raw)
	}
	n.becomes(h.admin, id, 1, delivered)
	r.quiet()
}

// What is no longer in the log cannot be sent, and its endpoint is not to blame.
func TestEventIsGone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, nil)
	idle := h.idle()
	id, _ := idle.hook(h.alice, r.URL, `,"ordering":"order"`)
	h.happens(h.alice, uuid.New(), "order.created", "order.confirmed")
	h.fanOut(idle, h.page())
	h.exec(`update webhook_deliveries set version = 99 where number = 1`)

	n := h.node()

	n.becomes(h.alice, id, 1, failed)
	n.becomes(h.alice, id, 2, delivered)
	if w := n.want(200, h.alice, "GET /v1/webhooks/"+id, ""); w.body["enabled"] != true || w.body["failingSince"] != nil {
		t.Errorf("%s", w.raw)
	}
	r.take(1)
	r.quiet()
}

// Without subscribed endpoints, a page costs one query that takes no lock and finds nothing.
func TestPageWithoutEndpoints(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	for range 3 {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	list := h.page()

	h.fanOut(n, list)

	if left := h.count(`select count(*) from webhook_deliveries`) + h.count(`select count(*) from river_job`); left != 0 || len(list) != 3 {
		t.Errorf("%d rows of %d events", left, len(list))
	}
}
