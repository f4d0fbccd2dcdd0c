package events_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// TestNothingIsLostBehindLateCommits: writers hold their transactions open for
// random times, so numbers commit out of order, and some roll back. Readers that
// follow meanwhile must end with exactly the order that the log has (SPEC E3).
func TestNothingIsLostBehindLateCommits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	users := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	written := make(chan struct{})
	var writers, readers sync.WaitGroup
	for range 6 {
		writers.Go(func() { b.writeLate(users, 60) })
	}

	follow := func(who uuid.UUID, limit int) {
		readers.Go(func() {
			var seen []string
			var at events.Cursor
			for last := false; ; {
				page := b.after(at, who, limit)
				if !slices.IsSortedFunc(page.Events, func(x, y events.Event) int {
					if x.Cursor.Before(y.Cursor) {
						return -1
					}
					return 1
				}) {
					t.Error("a page is out of order")
				}
				seen, at = append(seen, ids(page.Events)...), page.Next
				if last && !page.More && !page.Waiting {
					break
				}
				select {
				case <-written:
					last = true
				default:
				}
			}
			if truth := b.truth(who); !slices.Equal(seen, truth) {
				t.Errorf("read %d events of %s, the log has %d, or in another order", len(seen), who, len(truth))
			}
		})
	}
	follow(uuid.Nil, 1000)
	follow(uuid.Nil, 7)
	for _, u := range users {
		follow(u, 10)
	}
	writers.Wait()
	close(written)
	readers.Wait()
}

// writeLate writes n transactions of one to three events each, a tenth of which
// is rolled back.
func (b *bundle) writeLate(users []uuid.UUID, n int) {
	for range n {
		tx, err := b.pool.Begin(b.ctx)
		if err != nil {
			b.t.Error(err)
			return
		}
		var list []events.Event
		for range 1 + rand.IntN(3) {
			list = append(list, event(users[rand.IntN(len(users))]))
		}
		err = events.Append(b.ctx, tx, list)
		<-time.After(time.Duration(rand.IntN(8)) * time.Millisecond) // the window of the race, not a wait
		if rand.IntN(10) == 0 {
			err = tx.Rollback(b.ctx)
		} else if err == nil {
			err = tx.Commit(b.ctx)
		}
		if err != nil {
			b.t.Error(err)
		}
	}
}

func TestNothingPassesAnOpenTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := uuid.New()
	b.append(event(user))
	start := b.head()
	tx := b.begin()
	b.must(events.Append(b.ctx, tx, []events.Event{event(user)}))
	for range 5 {
		b.commit(event(user), event(user))
	}

	for _, who := range []uuid.UUID{user, uuid.Nil} {
		if p := b.after(start, who, 100); len(p.Events) != 0 || !p.Waiting || p.More || p.Next != start {
			t.Errorf("before the commit: %d events, behind %t, full %t, next %s", len(p.Events), p.Waiting, p.More, p.Next)
		}
	}
	if b.head() != start {
		t.Error("the head has passed an open transaction")
	}
	b.must(tx.Commit(b.ctx))
	b.settle()

	truth := b.truth(uuid.Nil)[1:]
	for _, who := range []uuid.UUID{user, uuid.Nil} {
		p := b.after(start, who, 100)
		if !slices.Equal(ids(p.Events), truth) || p.Waiting {
			t.Errorf("after the commit: %v behind %t, want %v", ids(p.Events), p.Waiting, truth)
		}
	}
}

// A rolled back transaction holds nothing up once it is over, and leaves nothing.
func TestRollbackFreesTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	b.must(events.Append(b.ctx, tx, []events.Event{event(uuid.New())}))
	b.commit(event(uuid.New()))

	b.must(tx.Rollback(b.ctx))
	b.settle()

	if p := b.after(events.Cursor{}, uuid.Nil, 10); len(p.Events) != 1 || p.Waiting {
		t.Errorf("%d events, behind %t", len(p.Events), p.Waiting)
	}
}

// TestCursorsAreEvents: a crash gives the xids of rolled back transactions out
// again, so a cursor that had run ahead to the horizon would miss what they write.
func TestCursorsAreEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if b.head() != (events.Cursor{Epoch: b.head().Epoch}) {
		t.Error("an empty log has a head")
	}
	b.append(event(uuid.New()))
	last := b.after(events.Cursor{}, uuid.Nil, 10).Events[0].Cursor
	for range 3 {
		b.exec(`select pg_current_xact_id()`)
	}

	p := b.after(last, uuid.Nil, 10)

	if p.Next != last || b.head() != last {
		t.Errorf("next %s, head %s, want %s", p.Next, b.head(), last)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := uuid.New()
	for range 5 {
		b.append(event(user), event(uuid.New()))
	}
	truth := b.truth(user)
	rows := []struct {
		limit int
		want  []string
		full  bool
	}{
		{1, truth[:1], true},
		{4, truth[:4], true},
		{5, truth, true}, // the reader cannot know yet that no event follows
		{6, truth, false},
	}
	for _, row := range rows {
		p := b.after(events.Cursor{}, user, row.limit)
		if !slices.Equal(ids(p.Events), row.want) || p.More != row.full || p.Next != p.Events[len(p.Events)-1].Cursor {
			t.Errorf("limit %d: %v full %t next %s", row.limit, ids(p.Events), p.More, p.Next)
		}
	}
	end := b.head()
	if p := b.after(end, user, 10); len(p.Events) != 0 || p.More || p.Waiting || p.Next != end {
		t.Errorf("behind %s: %d events, next %s", end, len(p.Events), p.Next)
	}
}

func TestEventsComeBackAsWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := event(uuid.New())
	e.Data, e.Actor = json.RawMessage(`{ "b":"\u0000\"\\ ü","a":[1.0,null]}`), identity.Actor("user:1")

	b.append(e)
	b.append() // nothing is nothing

	got := b.after(events.Cursor{}, e.UserID, 10).Events
	history, err := b.log.History(b.ctx, e.OrderID)
	b.must(err)
	for _, list := range [][]events.Event{got, history} {
		if len(list) != 1 {
			t.Fatalf("%d events", len(list))
		}
		back := list[0]
		if back.Cursor.Xid == 0 || back.Cursor.Seq == 0 || back.Cursor.Epoch != b.head().Epoch {
			t.Errorf("cursor %v", back.Cursor)
		}
		if string(back.Data) != string(e.Data) || !back.At.Equal(e.At) || back.Type != e.Type || back.Actor != e.Actor ||
			back.OrderID != e.OrderID || back.UserID != e.UserID || back.Version != e.Version {
			t.Errorf("got  %+v\nwant %+v", back, e)
		}
	}
}

func TestHistoryIsInVersions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order, user := uuid.New(), uuid.New()
	b.append(eventOf(order, 2, user), eventOf(order, 1, user), event(user))
	b.append(eventOf(order, 3, user))

	list, err := b.log.History(b.ctx, order)

	b.must(err)
	for i, e := range list {
		if e.Version != int64(i+1) || e.OrderID != order {
			t.Errorf("%d: version %d of %s", i, e.Version, e.OrderID)
		}
	}
	if len(list) != 3 {
		t.Errorf("%d events", len(list))
	}
}

// SPEC E1: append-only, also for direct SQL.
func TestLogIsAppendOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(event(uuid.New()))
	for _, sql := range []string{
		`update events set type = 'x'`, `delete from events`, `truncate events`,
		`insert into events select * from events on conflict (order_id, version) do update set type = 'x'`,
	} {
		_, err := b.pool.Exec(b.ctx, sql)
		if postgres.Code(err) != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if p := b.after(events.Cursor{}, uuid.Nil, 10); len(p.Events) != 1 || p.Events[0].Type != "order.created" {
		t.Errorf("%+v", p.Events)
	}
}

func TestVersionHappensOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := event(uuid.New())
	b.append(first)

	err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		return events.Append(b.ctx, tx, []events.Event{event(first.UserID), first})
	})

	if !postgres.Violates(err, "events_pkey") {
		t.Errorf("error %v", err)
	}
	if n := len(b.truth(uuid.Nil)); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user, fresh := uuid.New(), uuid.New()
	old := event(user)
	old.At = events.Now().Add(-2 * time.Hour)
	b.append(event(user))
	first := b.head()
	b.append(old)
	second := b.head()
	b.append(event(user), event(fresh))

	rows := []struct {
		name string
		at   events.Cursor
		who  uuid.UUID
		keep time.Duration
		gone bool
	}{
		{"fresh", second, user, time.Hour, false},
		{"at the head", b.head(), user, time.Hour, false},
		{"what follows is too old", first, user, time.Hour, true},
		{"the following events are too old for all readers", first, uuid.Nil, time.Hour, true},
		{"what follows is another's", first, fresh, time.Hour, false},
		{"kept longer", first, user, 3 * time.Hour, false},
		{"from the beginning", events.Cursor{Epoch: first.Epoch}, fresh, time.Hour, false},
		{"another database", events.Cursor{Epoch: "00000000", Xid: second.Xid, Seq: second.Seq}, user, time.Hour, true},
		{"the future", events.Cursor{Epoch: first.Epoch, Xid: b.head().Xid, Seq: b.head().Seq + 1}, user, time.Hour, true},
		{"the far future", events.Cursor{Epoch: first.Epoch, Xid: math.MaxUint64, Seq: math.MaxInt64}, user, time.Hour, true},
	}
	for _, row := range rows {
		gone, err := b.log.Expired(b.ctx, row.at, row.who, row.keep)
		b.must(err)
		if gone != row.gone {
			t.Errorf("%s: gone %t", row.name, gone)
		}
	}
}

// TestPlans: both pages walk their index from the cursor on. A Sort over what the
// limit has already cut is harmless, one over the table is not.
func TestPlans(t *testing.T) {
	t.Parallel()
	b := setup(t)
	users := []uuid.UUID{uuid.MustParse("00000000-0000-7000-8000-000000000001"), uuid.New(), uuid.MustParse("ffffffff-ffff-7fff-bfff-fffffffffffe")}
	for range 10 { // a busy machine may take longer than a statement may for all at once
		b.exec(`insert into events (order_id, version, user_id, type, data, actor, at)
			select gen_random_uuid(), 1, coalesce(($1::uuid[])[nullif(i % 50, 0)], gen_random_uuid()), 'order.created', '{}', 'system', now()
			from generate_series(1, 5000) i`, users)
	}
	b.exec(`analyze events`)

	type row struct {
		who     uuid.UUID
		index   string
		generic bool
	}
	rows := []row{{uuid.Nil, "events_stream", false}, {uuid.Nil, "events_stream", true}}
	for _, user := range users { // the oldest, any, and the newest account
		rows = append(rows, row{user, "events_user_stream", false}, row{user, "events_user_stream", true})
	}
	for _, row := range rows {
		plan := strings.Join(b.plan(row.who, row.generic), "\n")

		if !strings.Contains(plan, "Scan using "+row.index+" on events e_1 ") || strings.Contains(plan, "Seq Scan on events") || strings.Contains(plan, "Bitmap") {
			t.Errorf("want a scan of %s:\n%s", row.index, plan)
		}
		if strings.Count(plan, "Sort Key") != 1 || strings.Index(plan, "Sort Key") > strings.Index(plan, "Limit") {
			t.Errorf("sorts before the limit:\n%s", plan)
		}
		if strings.Contains(plan, "Filter") {
			t.Errorf("reads rows only to drop them:\n%s", plan)
		}
	}

	// For a user without events a bitmap scan is as cheap, and the statistics decide.
	stranger := strings.Join(b.plan(uuid.New(), false), "\n")
	if !strings.Contains(stranger, "events_user_stream") || strings.Contains(stranger, "Seq Scan on events") || strings.Contains(stranger, "Filter") {
		t.Errorf("want events_user_stream:\n%s", stranger)
	}
}

// plan explains a page from the middle of the log.
func (b *bundle) plan(who uuid.UUID, generic bool) []string {
	b.t.Helper()
	var middle events.Cursor
	b.must(b.pool.QueryRow(b.ctx, `select xid, seq from events order by seq offset 25000 limit 1`).Scan(&middle.Xid, &middle.Seq))
	query, args := events.PageQuery(who, middle, 500)
	tx := b.begin()
	if generic {
		_, err := tx.Exec(b.ctx, `set local plan_cache_mode = force_generic_plan`)
		b.must(err)
	}
	rows, err := tx.Query(b.ctx, "explain (analyze, costs off, timing off) "+query, args...)
	b.must(err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	b.must(err)
	return plan
}

// E3: an order's events come in the order of its versions, whichever of the
// transactions that wrote them began first.
func TestAnOrdersEventsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order, user := uuid.New(), uuid.New()
	b.append(eventOf(order, 1, user))
	early := b.begin()
	if _, err := early.Exec(b.ctx, `select pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	b.commit(eventOf(order, 2, user), event(user)) // by a later transaction, which did not have to wait
	b.must(events.Append(b.ctx, early, []events.Event{eventOf(order, 3, user), eventOf(order, 4, user)}))
	b.must(early.Commit(b.ctx))
	b.append(eventOf(order, 5, user))

	var versions []int64
	for _, e := range b.after(events.Cursor{}, uuid.Nil, 100).Events {
		if e.OrderID == order {
			versions = append(versions, e.Version)
		}
	}

	if !slices.Equal(versions, []int64{1, 2, 3, 4, 5}) {
		t.Errorf("the log has versions %v", versions)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user, order := uuid.New(), uuid.New()
	b.append(eventOf(order, 1, user), eventOf(order, 2, user))
	want := b.after(events.Cursor{}, uuid.Nil, 10).Events[1]

	got, err := b.log.Find(b.ctx, order, 2)
	_, missing := b.log.Find(b.ctx, order, 3)

	if err != nil || got.Message().ID != want.Message().ID || got.Cursor != want.Cursor || string(got.Data) != string(want.Data) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if !errors.Is(missing, events.ErrNotFound) {
		t.Errorf("what is not there: %v", missing)
	}
}
