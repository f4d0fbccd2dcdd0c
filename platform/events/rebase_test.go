package events_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// restored is a log as a dump leaves it: the xids are of a cluster that was far
// ahead of this one, and so is the noted epoch.
func restored(t *testing.T) (b *bundle, user uuid.UUID) {
	t.Helper()
	b = setup(t)
	user = uuid.New()
	for range 3 {
		b.append(event(user), event(uuid.New()), event(user))
	}
	b.migrate(`set orderflow.adopt_log = 'on'`,
		`update events set xid = (xid::text::bigint + 1000000000000)::text::xid8`,
		`update event_log set epoch = '0badcafe'`)
	b.reopen()
	return b, user
}

// migrate runs statements on a connection of their own.
func (b *bundle) migrate(statements ...string) {
	b.t.Helper()
	conn := b.connect()
	for _, sql := range statements {
		_, err := conn.Exec(b.ctx, sql)
		b.must(err)
	}
}

func (b *bundle) connect() *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	b.must(err)
	b.t.Cleanup(func() { _ = conn.Close(b.ctx) })
	return conn
}

func (b *bundle) adopt() {
	b.t.Helper()
	b.must(events.Rebase(b.ctx, b.connect()))
	b.reopen()
	b.settle()
}

// SPEC E3: a restored log keeps its order, is readable, goes on behind its last
// event, and old cursors are told so.
func TestAdoptRestoredLog(t *testing.T) {
	t.Parallel()
	b, user := restored(t)
	truth := b.truth(uuid.Nil)
	if p := b.after(events.Cursor{}, uuid.Nil, 100); len(p.Events) != 0 {
		t.Fatalf("%d events of the future are visible: this proves nothing", len(p.Events))
	}
	old := events.Cursor{Epoch: "0badcafe", Xid: 5, Seq: 1}

	b.adopt()
	first := b.head()
	b.append(event(user))

	all := ids(b.after(events.Cursor{}, uuid.Nil, 100).Events)
	if !slices.Equal(all[:len(all)-1], truth) {
		t.Errorf("order %v, want %v", all, truth)
	}
	if mine := b.after(events.Cursor{}, user, 100).Events; len(mine) != 7 {
		t.Errorf("the user has %d events", len(mine))
	}
	if p := b.after(first, user, 100); len(p.Events) != 1 {
		t.Errorf("%d events behind the adopted ones", len(p.Events))
	}
	if gone, err := b.log.Expired(b.ctx, old, user, time.Hour); err != nil || !gone {
		t.Errorf("an old cursor: gone %t, %v", gone, err)
	}
	if gone, err := b.log.Expired(b.ctx, first, user, time.Hour); err != nil || gone {
		t.Errorf("a new cursor: gone %t, %v", gone, err)
	}
}

func TestAdoptTwice(t *testing.T) {
	t.Parallel()
	b, _ := restored(t)
	b.adopt()
	once := b.after(events.Cursor{}, uuid.Nil, 100).Events

	b.adopt()

	twice := b.after(events.Cursor{}, uuid.Nil, 100).Events
	if len(once) == 0 || !slices.EqualFunc(once, twice, func(x, y events.Event) bool { return x.Cursor == y.Cursor }) {
		t.Errorf("%v\n%v", once, twice)
	}
}

// A log that is moved a second time has rows that hold the very numbers that
// others are to get: here 1,000 and 1,001 would become 1 and 2, past each other.
func TestAdoptOverAdopted(t *testing.T) {
	t.Parallel()
	b, user := restored(t)
	b.adopt()
	b.append(event(user), event(user))
	b.migrate(`set orderflow.adopt_log = 'on'`,
		// A retention that removed old events leaves numbers that do not begin at 1,
		// and the later rows lie in the heap before those whose numbers they would take.
		`update events set seq = seq - (select min(seq) from events where xid = '3') + 5 where xid = '3'`,
		`update events set seq = 3 where xid = '3' and seq = 5`,
		`update event_log set epoch = '0badcafe'`)
	truth := b.truth(uuid.Nil)

	b.adopt()

	if got := ids(b.after(events.Cursor{}, uuid.Nil, 100).Events); !slices.Equal(got, truth) {
		t.Errorf("order %v, want %v", got, truth)
	}
}

func TestAdoptFresh(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`delete from event_log`)

	b.adopt()

	if len(b.head().Epoch) != 8 {
		t.Errorf("epoch %q", b.head().Epoch)
	}
}

// Events that were written into a restored log before it was adopted have numbers before or
// among those of the restored events. No reader has seen them, so they are moved to the end
// and kept. Versions keep their order.
func TestAdoptTakesWhatWasWrittenBefore(t *testing.T) {
	t.Parallel()
	r := setupReaders(t)
	open := eventOf(uuid.New(), 1, uuid.New())
	for range 5 {
		r.append(event(uuid.New()), event(uuid.New()))
	}
	r.append(open)
	_, stop := r.run(r.note)
	r.await(11)
	stop()
	r.append(event(uuid.New())) // which the reader has not taken yet
	taken, truth := r.taken(), r.truth(uuid.Nil)
	// As COPY leaves it: written by one transaction, with the ids of others.
	r.beneath(`create table dump as select * from events`)
	r.beneath(`delete from events`)
	r.beneath(`insert into events (seq, xid, order_id, version, user_id, type, data, actor, at)
		select seq, (xid::text::bigint + 1000000)::text::xid8, order_id, version, user_id, type, data, actor, at from dump`)
	r.beneath(`update event_readers set xid = (xid::text::bigint + 1000000)::text::xid8 where name = 'test'`)
	r.beneath(`update event_log set epoch = '0badcafe'`)
	fresh, further := event(uuid.New()), eventOf(open.OrderID, 2, open.UserID)
	r.commit(fresh)
	r.commit(further)
	late := r.begin() // in a savepoint, as a request with a key writes
	inner, err := late.Begin(r.ctx)
	r.must(err)
	bulk := event(uuid.New())
	r.must(events.Append(r.ctx, inner, []events.Event{bulk}))
	r.must(inner.Commit(r.ctx))
	r.must(late.Commit(r.ctx))

	r.adopt()
	r.run(r.note)
	got := r.await(15)

	if !slices.Equal(got[:12], truth) || !slices.Equal(got[:11], taken) {
		t.Errorf("took %v, want first %v", got, truth)
	}
	for _, e := range []events.Event{fresh, further, bulk} {
		if !slices.Contains(got[12:], e.Message().ID) {
			t.Errorf("%s is not taken: %v", e.Message().ID, got[12:])
		}
	}
}

// CheckOrigin holds exactly where Rebase has been.
func TestCheckOrigin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	foreign := events.CheckOrigin(b.ctx, b.pool) // a clone of the template
	b.adopt()
	own := events.CheckOrigin(b.ctx, b.pool)
	b.exec(`delete from event_log`)
	fresh := events.CheckOrigin(b.ctx, b.pool)
	b.exec(`drop table event_log`)
	empty := events.CheckOrigin(b.ctx, b.pool)

	if !errors.Is(foreign, events.ErrForeignLog) || own != nil || fresh != nil || empty != nil {
		t.Errorf("a foreign log %v, an adopted one %v, none yet %v and %v", foreign, own, fresh, empty)
	}
}
