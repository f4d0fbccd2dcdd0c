package notifications

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// goBack takes the database back to the state in which the log ended with an event, as far
// as events and inboxes are concerned, and writes events with the numbers of those that
// are lost.
func (h *bundle) goBack(to events.Event, instead ...events.Event) {
	h.t.Helper()
	h.must(postgres.InTx(h.ctx, h.pool, func(tx pgx.Tx) error {
		run := func(sql string, args ...any) {
			_, err := tx.Exec(h.ctx, sql, args...)
			h.must(err)
		}
		run(`set local session_replication_role = replica`)
		run(`create temporary table lost on commit drop as select * from events where (xid, seq) > ($1, $2)`, to.Cursor.Xid, to.Cursor.Seq)
		run(`delete from events where (order_id, version) in (select order_id, version from lost)`)
		run(`delete from notifications where (order_id, version) in (select order_id, version from lost)`)
		run(`update inbox_counts c set unread = (select count(*) from notifications n where n.user_id = c.user_id)`)
		run(`update event_readers set xid = $1, seq = $2, order_id = $3, version = $4 where (xid, seq) > ($1, $2)`,
			to.Cursor.Xid, to.Cursor.Seq, to.OrderID, to.Version)
		for i, e := range instead {
			run(`insert into events (xid, seq, order_id, version, user_id, type, data, actor, at)
				select l.xid, l.seq, $2, $3, $4, $5, $6, $7, $8 from lost l order by l.xid, l.seq offset $1 limit 1`,
				i, e.OrderID, e.Version, e.UserID, e.Type, string(e.Data), string(e.Actor), e.At)
		}
		return nil
	}))
}

func (h *bundle) last() events.Event {
	h.t.Helper()
	page, err := h.nodes[0].events.After(h.ctx, events.Cursor{}, uuid.Nil, 10_000)
	h.must(err)
	return page.Events[len(page.Events)-1]
}

// E3: only events of others are lost. A subscriber whose position went on with them is not reset: it gets
// another position, and then everything that is new.
func TestQuietFollowersAreNotReset_E3(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.limits.pingEvery = 20 * time.Millisecond })
	h.commit(eventOf(h.bob, "order.created"))
	n.settle()
	kept := h.last()
	bobs, stream := n.listen(h.bob, ""), n.stream(h.bob, "").begins()
	next := func() said {
		for {
			if l := stream.next(); !l.comment {
				return l
			}
		}
	}
	h.commit(eventsOf(h.alice, 2)...)
	moved := bobs.next()
	if streamed := next(); moved.Type != kindReady || streamed.event != kindReady || moved.Cursor != h.last().Cursor.String() {
		t.Fatalf("%+v, %+v", moved, streamed)
	}

	instead := []events.Event{eventOf(h.alice, "order.created"), eventOf(h.bob, "order.created")}
	h.goBack(kept, instead...)
	until(t, "the node notices", func() bool { h.wake(); return n.tail.Rewrites() == 1 })

	for name, m := range map[string]message{"socket": bobs.next(), "stream": next().message} {
		if m.Type != kindReady || m.Cursor != kept.Cursor.String() {
			t.Errorf("%s: %+v, want the position %s", name, m, kept.Cursor)
		}
	}
	if m := bobs.next(); m.ID != instead[1].Message().ID {
		t.Errorf("socket: %+v", m)
	}
	if l := next(); l.message.ID != instead[1].Message().ID {
		t.Errorf("stream: %+v", l)
	}
}

// E3: the log goes back under open subscribers of all transports. Those who are ahead of
// it are reset and then get all that is new, even under the numbers of what was lost;
// those who are not get all that is new and no reset.
func TestFollowersOfALogThatWentBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n, other := h.node(), h.node()
	h.commit(eventOf(h.alice, "order.created"), eventOf(h.bob, "order.created"))
	n.settle()
	other.settle()
	kept := h.last()
	bobs, bobsStream := n.listen(h.bob, ""), other.stream(h.bob, "").begins()
	bobsPlace := kept.Cursor.String()
	alices, stream, admins := n.listen(h.alice, ""), other.stream(h.alice, "").begins(), other.listen(h.admin, "types=order.created")
	lost := eventsOf(h.alice, 3)
	h.commit(lost...)
	for _, one := range []interface{ expect([]string) string }{alices, stream, admins} {
		one.expect(h.truth(h.alice.UserID)[1:])
	}
	h.settled("inbox")
	place := h.last().Cursor.String()

	var polls sync.WaitGroup
	var ahead, behind, later sheet
	polls.Go(func() { ahead = n.page(h.alice, "wait=20&after="+place) })
	polls.Go(func() { behind = other.page(h.bob, "wait=20&after="+bobsPlace) })
	until(t, "the polls wait", func() bool { return value(n.hub.open)+value(other.hub.open) == 7 })

	instead := []events.Event{eventOf(h.alice, "order.created"), eventOf(h.bob, "order.created")}
	h.goBack(kept, instead...)
	h.wake()
	both := []events.Event{eventOf(h.alice, "order.created"), eventOf(h.bob, "order.created")}
	until(t, "the nodes notice", func() bool { h.wake(); return n.tail.Rewrites() == 1 && other.tail.Rewrites() == 1 })
	h.commit(both...)

	for name, next := range map[string]func() message{"socket": alices.next, "stream": func() message { return stream.next().message }, "administrator": admins.next} {
		m := next()
		if m.Type != kindReset || m.Cursor == "" {
			t.Errorf("%s: %+v, want a reset", name, m)
		}
	}
	var onlyNew []string
	for _, e := range both {
		onlyNew = append(onlyNew, e.Message().ID)
	}
	alices.expect(onlyNew[:1])
	stream.expect(onlyNew[:1])
	admins.expect(onlyNew)
	missed := []string{instead[1].Message().ID, onlyNew[1]}
	bobs.expect(missed)
	bobsStream.expect(missed)
	polls.Wait()
	if !ahead.Reset || len(ahead.Data) > 0 {
		t.Errorf("the poll that is ahead: %+v", ahead)
	}
	if behind.Reset || len(behind.Data) == 0 || behind.Data[0].ID != missed[0] {
		t.Errorf("the poll that is not: %+v", behind)
	}
	if later = n.page(h.alice, "after="+ahead.NextCursor); later.Reset {
		t.Errorf("behind the reset: %+v", later)
	}
	if first := n.dial(h.alice, "after="+place).next(); first.Type != kindReset {
		t.Errorf("resumed from what is lost: %+v", first)
	}
	if said := n.said.String(); !strings.Contains(said, "level=WARN") || strings.Count(said, "the event log was replaced") != 1 {
		t.Errorf("the log says %s", said)
	}
}

// settled waits until a reader has taken everything.
func (h *bundle) settled(reader string) {
	h.t.Helper()
	until(h.t, reader+" has everything", func() (yes bool) {
		h.must(h.pool.QueryRow(h.ctx, `select not exists (select from events e join event_readers r on (e.xid, e.seq) > (r.xid, r.seq) where r.name = $1)`, reader).Scan(&yes))
		return yes
	})
}

// E3: a restart of the database, or a failover without loss, causes no reset.
func TestFollowersOfADatabaseThatRestarts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	c, s := n.listen(h.alice, ""), n.stream(h.alice, "").begins()
	h.commit(eventsOf(h.alice, 2)...)

	for range 3 {
		_, err := h.pool.Exec(h.ctx, `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid()`)
		h.must(err)
		h.pool.Reset()
		h.commit(eventsOf(h.alice, 2)...)
	}

	c.expect(h.truth(h.alice.UserID))
	s.expect(h.truth(h.alice.UserID))
	if n.tail.Rewrites() != 0 {
		t.Errorf("rewritten %d times", n.tail.Rewrites())
	}
}

// A subscriber that catches up detects the loss independently of the tail, and one that resumed
// ahead of the tail of its node is reset as well.
func TestFollowerNoticesBeforeTheTail(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	h.commit(eventsOf(h.alice, 2)...)
	n.settle()
	kept := h.last()
	h.commit(eventsOf(h.alice, 2)...)
	n.settle()
	h.settled("inbox")
	lost := h.last()
	f := n.newSubscriber(h.alice, filter{owner: h.alice.UserID, resume: true, at: lost.Cursor})
	f.queue.wake = func() {}
	h.must(n.hub.join(f))
	defer n.hub.leave(f)
	first, err := f.next()
	h.must(err)
	f.at, f.to, f.catching = lost.Cursor, events.Cursor{Xid: lost.Cursor.Xid + 1}, true // as if there were more to read

	h.goBack(kept)
	got, err := f.next()
	h.must(err)

	if first[0].kind != kindReady || got[0].kind != kindReset || f.at.Before(kept.Cursor) || kept.Cursor.Before(f.at) {
		t.Errorf("first %s, then %s at %s, want %s", first[0].kind, got[0].kind, f.at, kept.Cursor)
	}
}

// Unread counts go back with the database, and every open connection receives the new count.
func TestUnreadCountsGoBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	h.commit(eventOf(h.alice, "order.created"))
	n.settle()
	kept := h.last()
	c := n.listen(h.alice, "types=notifications.unread")
	h.commit(eventOf(h.alice, "order.shipped"))
	for m := (message{}); m.Type != kindUnread; {
		var err error
		m, err = c.readAny()
		h.must(err)
	}

	h.settled("inbox")
	n.settle()
	h.goBack(kept)
	h.wake()

	if m, err := c.readAny(); err != nil || m.Type != kindUnread { // and no reset: it has not received the lost event
		t.Errorf("%+v, %v", m, err)
	}
}
