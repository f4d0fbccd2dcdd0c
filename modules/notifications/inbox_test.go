package notifications

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/uuidv7"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// noted is a page of an inbox.
type noted struct {
	Data []struct {
		ID, OrderID   uuid.UUID
		Type, Message string
		Version       int64
		ReadAt        *time.Time
	}
	NextCursor *string
	Unread     int64
}

func (n *node) inboxOf(who identity.Caller, query string) (list noted) {
	n.bundle.t.Helper()
	status, _, body := n.call(http.MethodGet, "/v1/notifications?"+query, bearer(who))
	if status != http.StatusOK {
		n.bundle.t.Fatal(status, body)
	}
	n.bundle.must(json.Unmarshal([]byte(body), &list))
	return list
}

// filled waits until an inbox holds as many.
func (n *node) filled(who identity.Caller, count int) (list noted) {
	n.bundle.t.Helper()
	until(n.bundle.t, fmt.Sprint(count, " notifications"), func() bool {
		list = n.inboxOf(who, "limit=100")
		return len(list.Data) >= count
	})
	return list
}

func (n *node) patch(who identity.Caller, path, body string) (int, string) {
	n.bundle.t.Helper()
	req, err := http.NewRequestWithContext(n.bundle.ctx, http.MethodPatch, "http://"+n.addr+path, bytes.NewReader([]byte(body)))
	n.bundle.must(err)
	maps.Copy(req.Header, bearer(who))
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	n.bundle.must(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	n.bundle.must(err)
	return resp.StatusCode, string(raw)
}

// SPEC E7: the notifications of a user, newest first, and of no other user.
func TestInbox(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	var want []uuid.UUID
	for _, kind := range []string{"order.created", "order.confirmed", "order.shipped", "order.unheard_of"} {
		e := eventOf(h.alice, kind)
		h.commit(e, eventOf(h.bob, kind))
		if kind == "order.confirmed" || kind == "order.shipped" {
			want = append([]uuid.UUID{e.OrderID}, want...)
		}
	}

	list := n.filled(h.alice, 2)

	if len(list.Data) != 2 || list.Unread != 2 || list.Data[0].OrderID != want[0] || list.Data[1].OrderID != want[1] {
		t.Fatalf("%+v, want %v", list, want)
	}
	if first := list.Data[0]; first.Type != "order.shipped" || first.Message != "Gone." || first.Version != 1 || first.ReadAt != nil {
		t.Errorf("%+v", first)
	}
	n.filled(h.bob, 2)
	if none := n.inboxOf(h.admin, ""); len(none.Data) != 0 || none.Unread != 0 {
		t.Errorf("an administrator's own inbox: %+v", none)
	}
	one := n.inboxOf(h.alice, "limit=1")
	two := n.inboxOf(h.alice, "limit=1&cursor="+*one.NextCursor)
	if one.Data[0] != list.Data[0] || two.Data[0] != list.Data[1] || two.NextCursor != nil {
		t.Errorf("pages: %+v, %+v", one, two)
	}
}

// SPEC E7: marking, in every order and twice, and what others may not.
func TestMarking(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	for range 5 {
		h.commit(eventOf(h.alice, "order.confirmed"))
	}
	list := n.filled(h.alice, 5)
	path := func(i int) string { return "/v1/notifications/" + list.Data[i].ID.String() }
	rows := []struct {
		who        identity.Caller
		path, body string
		status     int
		says       string
		unread     int64
	}{
		{h.alice, path(4), `{"read":true}`, 200, `"readAt":"2`, 4},
		{h.alice, path(4), `{"read":true}`, 200, `"readAt":"2`, 4},
		{h.alice, path(4), `{"read":false}`, 200, `"readAt":null`, 5},
		{h.alice, path(4), `{"read":false}`, 200, `"readAt":null`, 5},
		{h.bob, path(4), `{"read":true}`, 404, `not-found`, 5},
		{h.admin, path(4), `{"read":true}`, 404, `not-found`, 5},
		{h.alice, "/v1/notifications/" + uuid.NewString(), `{"read":true}`, 404, `not-found`, 5},
		{h.alice, path(0), `{}`, 422, `/read`, 5},
		{h.alice, path(0), `{"read":null}`, 422, `/read`, 5},
		{h.alice, "/v1/notifications", `{"read":false}`, 422, `/read`, 5},
		{h.alice, "/v1/notifications", `{"read":true,"upTo":"x"}`, 422, `/upTo`, 5},
		{h.bob, "/v1/notifications", `{"read":true}`, 200, `"marked":0`, 5},
		{h.alice, "/v1/notifications", `{"read":true,"upTo":"` + list.Data[3].ID.String() + `"}`, 200, `"marked":2`, 3},
		{h.alice, "/v1/notifications", `{"read":true}`, 200, `"marked":3`, 0},
		{h.alice, "/v1/notifications", `{"read":true}`, 200, `"marked":0`, 0},
	}
	for _, row := range rows {
		status, body := n.patch(row.who, row.path, row.body)

		if status != row.status || !strings.Contains(body, row.says) {
			t.Errorf("%s %s: %d %s", row.path, row.body, status, body)
		}
		if got := n.inboxOf(h.alice, "unread=true"); got.Unread != row.unread || int64(len(got.Data)) != row.unread {
			t.Errorf("after %s %s: %d unread, %d of them listed, want %d", row.path, row.body, got.Unread, len(got.Data), row.unread)
		}
	}
	if got := n.inboxOf(h.alice, "unread=false"); len(got.Data) != 5 {
		t.Errorf("%d are read", len(got.Data))
	}
}

// SPEC E7: the count is pushed to all subscribers of the user, on any node and transport, and to
// no others.
func TestUnreadIsPushed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	one, other := h.node(), h.node()
	socket := other.listen(h.alice, "types=notifications.unread")
	stream := one.stream(h.alice, "types=notifications.unread").begins()
	bobs := one.listen(h.bob, "")
	all := one.listen(h.admin, "types=notifications.unread")

	h.commit(eventOf(h.alice, "order.confirmed"))
	expect := func(unread string) {
		t.Helper()
		_, raw, err := socket.conn.ReadMessage()
		if err != nil || !strings.Contains(string(raw), unread) || !strings.Contains(string(raw), `"cursor":"`) {
			t.Fatalf("%s, want %s (%v)", raw, unread, err)
		}
		if m := stream.next(); m.event != "notifications.unread" || m.id != "" || !strings.Contains(m.data, unread) {
			t.Fatalf("%+v, want %s", m, unread)
		}
	}
	expect(`"unread":1`)
	list := one.filled(h.alice, 1)
	if status, body := one.patch(h.alice, "/v1/notifications/"+list.Data[0].ID.String(), `{"read":true}`); status != 200 {
		t.Fatal(status, body)
	}
	expect(`"unread":0`)

	e := eventOf(h.bob, "order.created")
	h.commit(e)
	if m := bobs.next(); m.ID != e.Message().ID {
		t.Errorf("bob was told %+v", m)
	}
	_ = all.conn.Close()
}

// SPEC E7: one notification per event and user, and counts that are right, with
// three nodes that read, writers that overlap, and people who mark meanwhile.
func TestInboxesUnderLoad(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 3 {
		h.node()
	}
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for range 60 {
				h.commit(eventOf(h.alice, "order.confirmed"), eventOf(h.bob, "order.shipped"), eventOf(h.alice, "order.created"))
			}
		})
	}
	for i := range 3 {
		writing.Go(func() {
			n := h.nodes[i]
			for range 40 {
				list := n.inboxOf(h.alice, "unread=true&limit=5")
				if len(list.Data) == 0 {
					continue
				}
				one := list.Data[rand.IntN(len(list.Data))].ID
				if rand.IntN(5) == 0 {
					n.patch(h.alice, "/v1/notifications", `{"read":true,"upTo":"`+one.String()+`"}`)
				} else {
					n.patch(h.alice, "/v1/notifications/"+one.String(), fmt.Sprintf(`{"read":%v}`, rand.IntN(4) > 0))
				}
			}
		})
	}
	writing.Wait()

	var rows int
	until(t, "all are told", func() bool {
		h.must(h.pool.QueryRow(h.ctx, `select count(*) from notifications`).Scan(&rows))
		return rows >= 480
	})
	var distinct, wrong int
	h.must(h.pool.QueryRow(h.ctx, `select count(distinct (order_id, version, user_id)) from notifications`).Scan(&distinct))
	h.must(h.pool.QueryRow(h.ctx, `select count(*) from inbox_counts c
		where unread <> (select count(*) from notifications n where n.user_id = c.user_id and read_at is null)`).Scan(&wrong))
	if rows != 480 || distinct != 480 || wrong != 0 {
		t.Errorf("%d rows, %d of them different, %d counts wrong", rows, distinct, wrong)
	}
}

// Old notifications go, and are not counted any more.
func TestCleanInboxes(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	h.commit(slices.Concat(kinds(h.alice, "order.confirmed", 7), kinds(h.bob, "order.shipped", 2))...)
	n.filled(h.alice, 7)
	n.filled(h.bob, 2)
	before := uuidv7.First(time.Now().Add(-2 * time.Hour))
	_, err := h.pool.Exec(h.ctx, `update notifications set id = overlay(gen_random_uuid()::text placing $1 from 1 for 13)::uuid
		where id in (select id from notifications where user_id = $2 order by id limit 4)`, before.String()[:13], h.alice.UserID)
	h.must(err)
	n.patch(h.alice, "/v1/notifications", `{"read":true,"upTo":"`+uuidv7.First(time.Now().Add(-time.Hour)).String()+`"}`)
	if got := n.inboxOf(h.alice, ""); got.Unread != 3 {
		t.Fatalf("%d unread", got.Unread)
	}
	_, err = h.pool.Exec(h.ctx, `update notifications set read_at = null where id = (select min(id::text)::uuid from notifications)`)
	h.must(err)
	_, err = h.pool.Exec(h.ctx, `update inbox_counts set unread = 4 where user_id = $1`, h.alice.UserID)
	h.must(err)

	gone, err := n.cleanOnce(h.ctx)

	h.must(err)
	if got := n.inboxOf(h.alice, ""); gone != 4 || got.Unread != 3 || len(got.Data) != 3 {
		t.Errorf("%d gone; %+v", gone, got)
	}
}

func kinds(owner identity.Caller, kind string, n int) (list []events.Event) {
	for range n {
		list = append(list, eventOf(owner, kind))
	}
	return list
}
