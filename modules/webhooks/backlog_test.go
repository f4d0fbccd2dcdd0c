package webhooks

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// SPEC F10: a page stays within its limit, no owner exceeds its own, and nobody is postponed for less.
func TestQuota_F10(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := inline{rapid.IntRange(1, 500).Draw(t, "page"), rapid.IntRange(1, 100).Draw(t, "owner")}
		totals := rapid.SliceOfN(rapid.IntRange(0, 300), 1, 30).Draw(t, "totals")
		used := func(most int) (n int) {
			for _, total := range totals {
				n += min(total, most)
			}
			return n
		}

		most := in.quota(slices.Clone(totals))

		if most < 1 || most > in.owner {
			t.Fatalf("quota %d", most)
		}
		if used(most) > in.page && most > 1 {
			t.Fatalf("quota %d: %d deliveries", most, used(most))
		}
		if most < in.owner && used(most+1) <= in.page {
			t.Fatalf("quota %d, although %d deliveries fit", most, used(most+1))
		}
	})
}

// heavy is an administrator with endpoints for all orders, who gets more than the limit.
func (h *bundle) heavy(n *node, endpoints int, url string) (ids []string) {
	h.t.Helper()
	for range endpoints {
		id, _ := n.hook(h.admin, url, "")
		ids = append(ids, id)
	}
	return ids
}

// numbers are the deliveries of an endpoint, as positions in the log, in the order of their numbers.
func (h *bundle) numbers(endpoint string) (list []int) {
	h.t.Helper()
	rows, err := h.pool.Query(h.ctx, `
		select (select count(*) from events b where (b.xid, b.seq) <= (e.xid, e.seq)) from webhook_deliveries d
		join events e on e.order_id = d.order_id and e.version = d.version
		where d.webhook_id = $1 order by d.number`, endpoint)
	h.must(err)
	list, err = pgx.CollectRows(rows, pgx.RowTo[int])
	h.must(err)
	return list
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i+1)
	}
	return list
}

// SPEC E8, F10: the deliveries of an owner with more than its share are left to a backlog, those of
// others are not. In the end every endpoint has received every event once, numbered in the order of
// the log.
func TestOneOwnerDoesNotDelayOthers_F10(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle(func(m *Module) { m.inline = inline{1000, 10} })
	heavy := h.heavy(n, 4, "http://127.0.0.1:20001")
	light, _ := n.hook(h.bob, "http://127.0.0.1:20001", "")
	for range 30 {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	h.happens(h.bob, uuid.New(), "order.created", "order.confirmed")

	h.fanOut(n, h.page())

	if got := h.numbers(light); !slices.Equal(got, []int{31, 32}) {
		t.Errorf("the other owner's endpoint has the events %v", got)
	}
	for _, id := range heavy {
		if got := h.numbers(id); !slices.Equal(got, upTo(2)) {
			t.Errorf("an endpoint of the heavy owner has the events %v at first", got)
		}
	}
	if jobs := h.count(`select count(*) from river_job where kind = $1 and args->>'ownerId' = $2`, backlogKind, h.admin.UserID); jobs != 1 {
		t.Errorf("%d jobs", jobs)
	}
	if urgent := h.count(`select count(*) from river_job where kind = $1 and priority > $2`, deliverKind, priorityFirst); urgent != 0 {
		t.Errorf("%d first deliveries have a low priority", urgent)
	}

	// What happens meanwhile is behind the backlog.
	h.happens(h.bob, uuid.New(), "order.created")
	h.fanOut(n, h.page()[32:])
	if got := h.numbers(heavy[0]); len(got) != 2 {
		t.Errorf("an endpoint with a backlog has the events %v", got)
	}
	for range heavy {
		more, err := n.catchUp(h.ctx, h.admin.UserID)
		h.must(err)
		if !more {
			t.Error("no more, with backlogs left")
		}
	}
	if more, err := n.catchUp(h.ctx, h.admin.UserID); err != nil || more {
		t.Errorf("more: %v, %v", more, err)
	}

	for _, id := range heavy {
		if got := h.numbers(id); !slices.Equal(got, upTo(33)) {
			t.Errorf("an endpoint has the events %v in the end", got)
		}
	}
	if late := h.count(`select count(*) from river_job where kind = $1 and priority = $2`, deliverKind, priorityRest); late != 4*31 {
		t.Errorf("%d deliveries of the backlog come after those of others, want %d", late, 4*31)
	}
	h.happens(h.bob, uuid.New(), "order.created")
	h.fanOut(n, h.page()[33:])
	if got := h.numbers(heavy[0]); len(got) != 34 {
		t.Errorf("after the backlog an endpoint has %d events", len(got))
	}
}

// The whole path with running nodes: receivers get everything, each event once.
func TestBacklogsAreDelivered(t *testing.T) {
	t.Parallel()
	h := setup(t)
	small := func(m *Module) { m.inline = inline{1000, 5} }
	n := h.node(small)
	h.node(small)
	r := receive(t, nil)
	h.heavy(n, 3, r.URL)
	n.hook(h.admin, r.URL, `,"ordering":"order"`)

	for range 15 {
		n.happens(h.alice, uuid.New(), "order.created", "order.confirmed")
	}

	seen := map[string]int{}
	for _, in := range r.take(4 * 30) {
		seen[fmt.Sprint(in.Subject, in.Version)]++
	}
	for event, times := range seen {
		if times != 4 {
			t.Errorf("%s was received %d times", event, times)
		}
	}
	until(t, "no backlog", func() bool { return h.count(`select count(*) from event_readers where name like 'webhooks/%'`) == 0 })
	for _, law := range Laws() {
		if law.Settled {
			continue
		}
		if broken := h.count(`select count(*) from (` + law.Query + `) v`); broken > 0 {
			t.Errorf("%s: %d violations", law.Name, broken)
		}
	}
}

// The backlog of an account that is no longer an administrator has its own orders only, and that of a
// deleted endpoint is dropped.
func TestBacklogsFollowRights(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle(func(m *Module) { m.inline = inline{1000, 4} })
	ids := h.heavy(n, 2, "http://127.0.0.1:20001")
	for range 5 {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	h.happens(h.admin, uuid.New(), "order.created")
	h.fanOut(n, h.page())
	n.want(204, h.admin, "DELETE /v1/webhooks/"+ids[0], "")
	h.people.becomes(h.admin.UserID, identity.User)

	for range 3 {
		_, err := n.catchUp(h.ctx, h.admin.UserID)
		h.must(err)
	}

	if got := h.numbers(ids[1]); !slices.Equal(got, []int{1, 2, 6}) {
		t.Errorf("the endpoint has the events %v", got)
	}
	if got := h.numbers(ids[0]); len(got) > 2 {
		t.Errorf("the deleted endpoint has the events %v", got)
	}
	if left := h.count(`select count(*) from event_readers where name like 'webhooks/%'`); left != 0 {
		t.Errorf("%d backlogs are left", left)
	}
}

// SPEC D6: a backlog whose job was lost gets another one, and one without an endpoint is removed.
func TestLostBacklogs_D6(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle(func(m *Module) { m.inline = inline{1000, 2} })
	ids := h.heavy(n, 2, "http://127.0.0.1:20001")
	for range 3 {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	h.fanOut(n, h.page())
	h.exec(`delete from river_job where kind = $1`, backlogKind)
	h.exec(`delete from webhook_deliveries where webhook_id = $1`, ids[0])
	h.exec(`delete from webhooks where id = $1`, ids[0])

	h.must(n.SweepOnce(h.ctx))

	if jobs := h.count(`select count(*) from river_job where kind = $1`, backlogKind); jobs != 1 {
		t.Errorf("%d jobs", jobs)
	}
	if left := h.count(`select count(*) from event_readers where name like 'webhooks/%'`); left != 1 {
		t.Errorf("%d backlogs are left", left)
	}
	h.must(n.SweepOnce(h.ctx))
	if jobs := h.count(`select count(*) from river_job where kind = $1`, backlogKind); jobs != 1 {
		t.Errorf("%d jobs after another sweep", jobs)
	}
}

// During an upgrade a node of the previous version may be the consumer. It creates deliveries for an
// endpoint with a backlog, which the backlog does not repeat.
func TestBacklogsBesideAnEarlierVersion(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle(func(m *Module) { m.inline = inline{1000, 2} })
	id := h.heavy(n, 1, "http://127.0.0.1:20001")[0]
	for range 4 {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	h.fanOut(n, h.page())
	h.happens(h.alice, uuid.New(), "order.created")
	list := h.page()[4:]
	h.must(postgres.InTx(h.ctx, h.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(h.ctx, `update event_readers set xid = $1, seq = $2 where name = 'webhooks'`, list[0].Cursor.Xid, list[0].Cursor.Seq)
		if err != nil {
			return err
		}
		return n.fanOutTo(h.ctx, tx, uuid.MustParse(id), list)
	}))

	_, err := n.catchUp(h.ctx, h.admin.UserID)
	h.must(err)

	if got := h.numbers(id); !slices.Equal(got, []int{1, 2, 5, 3, 4}) {
		t.Errorf("the endpoint has the events %v", got)
	}
}

// eventsOf returns events of one user, for BenchmarkDivide.
func eventsOf(user uuid.UUID, n int) (list []events.Event) {
	for range n {
		list = append(list, events.Event{OrderID: uuid.New(), Version: 1, UserID: user, Type: "order.created", Data: json.RawMessage(`{}`)})
	}
	return list
}

func BenchmarkDivide(b *testing.B) {
	owner := uuid.New()
	var there []*subscription
	for range maxOfAll {
		there = append(there, &subscription{id: uuid.New(), owner: owner})
	}
	list := eventsOf(uuid.New(), 500)
	for b.Loop() {
		inline{inlineOfPage, inlineOfOwner}.divide(there, list, map[uuid.UUID]identity.Role{owner: identity.Admin})
	}
}
