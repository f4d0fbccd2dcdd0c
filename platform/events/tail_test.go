package events_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// collect gathers deliveries until all of want has come, or until something else has.
func (b *bundle) collect(from <-chan delivery, want []string) {
	b.t.Helper()
	var got []string
	for len(got) < len(want) {
		d := b.next(from)
		got = append(got, ids(d.list)...)
		if n := len(d.list); n > 0 && d.at != d.list[n-1].Cursor {
			b.t.Errorf("delivered up to %s, said %s", d.list[n-1].Cursor, d.at)
		}
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("delivered %d events, the log has %d, or in another order", len(got), len(want))
	}
}

func TestTailBeginsAtTheHead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(event(uuid.New()))
	tail, out := b.tail()

	b.commit(event(uuid.New()))
	tail.Wake()

	b.collect(out, b.truth(uuid.Nil)[1:])
}

// The lag is the age of an event that is not delivered because another transaction is open, and then
// zero again (SPEC F3).
func TestLagOfATail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tail, out := b.tail()
	open := b.begin()
	_, err := open.Exec(b.ctx, `select pg_current_xact_id()`)
	b.must(err)
	e := event(uuid.New())
	e.At = e.At.Add(-time.Hour)
	b.commit(e)

	testwait.Until(t, "the event to wait", func() bool { return tail.Lag() >= time.Hour })
	if lag := tail.Lag(); lag > time.Hour+testwait.Limit {
		t.Errorf("lag %s", lag)
	}
	b.must(open.Rollback(b.ctx))
	b.collect(out, b.truth(uuid.Nil))
	testwait.Until(t, "the lag to end", func() bool { return tail.Lag() == 0 })
}

// The lag of a consumer includes what a transaction holds back and what its parts have not handled.
func TestLagsOfConsumers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lag := func() time.Duration {
		t.Helper()
		list, err := events.Lags(b.ctx, b.pool)
		b.must(err)
		if len(list) != 2 || list[0].Consumer != "inbox" || list[1].Consumer != "webhooks" {
			t.Fatalf("%+v", list)
		}
		return list[1].Age
	}
	if lag() != 0 {
		t.Error(lag())
	}
	open := b.begin()
	_, err := open.Exec(b.ctx, `select pg_current_xact_id()`)
	b.must(err)
	for _, age := range []time.Duration{time.Hour, time.Minute} {
		e := event(uuid.New())
		e.At = e.At.Add(-age)
		b.commit(e)
	}
	if age := lag(); age < time.Hour || age > time.Hour+testwait.Limit {
		t.Errorf("%s, with an event of an hour ago", age)
	}
	b.must(open.Rollback(b.ctx))
	b.settle()
	all := b.after(events.Cursor{}, uuid.Nil, 2).Events
	b.exec(`update event_readers set xid = $1, seq = $2`, all[0].Cursor.Xid, all[0].Cursor.Seq)
	if age := lag(); age < time.Minute || age > time.Minute+testwait.Limit {
		t.Errorf("%s, with an event of a minute ago", age)
	}
	tx := b.begin()
	b.must(events.Fork(b.ctx, tx, "webhooks", []uuid.UUID{uuid.New()}, events.Cursor{Xid: 3}))
	b.must(tx.Commit(b.ctx))
	if age := lag(); age < time.Hour || age > time.Hour+testwait.Limit {
		t.Errorf("%s, with a part that has not handled the event of an hour ago", age)
	}
}

// A wake-up makes it look: nothing else would.
func TestTailWakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tail, out := b.tail((*events.Tail).OnlyWhenWoken)
	for range 100 {
		b.commit(event(uuid.New()))
		tail.Wake()
		b.next(out)
	}
}

// SPEC E5: without Redis, and so without wake-ups, it looks by itself, often enough for 2 s.
func TestTailPolls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, out := b.tail()
	b.commit(event(uuid.New()))
	b.next(out)
	if events.PollEvery > time.Second {
		t.Errorf("it looks every %s", events.PollEvery)
	}
}

// The tail reads again what an older transaction held up, although no wake-up reports the end
// of that transaction.
func TestTailLooksAgainAtWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tail, out := b.tail((*events.Tail).OnlyWhenWoken)
	tx := b.begin()
	b.must(events.Append(b.ctx, tx, []events.Event{event(uuid.New())}))
	b.commit(event(uuid.New()))
	tail.Looks()
	if len(out) > 0 {
		t.Errorf("delivered %v past an open transaction", ids((<-out).list))
	}

	b.must(tx.Commit(b.ctx))

	b.collect(out, b.truth(uuid.Nil))
}

// A database whose connections are cut again and again costs neither an event nor
// a repetition.
func TestTailSurvivesTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tail, out := b.tail()
	conns := make([]*pgx.Conn, 3)
	for i := range conns {
		conns[i] = b.connect()
		_, err := conns[i].Exec(b.ctx, `set application_name = 'writer'`)
		b.must(err)
	}
	killer := b.connect()

	var writers sync.WaitGroup
	for _, conn := range conns {
		writers.Go(func() {
			for range 150 {
				err := pgx.BeginFunc(b.ctx, conn, func(tx pgx.Tx) error {
					err := events.Append(b.ctx, tx, []events.Event{event(uuid.New())})
					<-time.After(time.Duration(rand.IntN(3)) * time.Millisecond) // commit out of order
					return err
				})
				if err != nil {
					t.Error(err)
				}
				tail.Wake()
			}
		})
	}
	killed, rounds := 0, 0
	testwait.Until(t, "there to be enough that was cut", func() bool {
		var n int
		b.must(killer.QueryRow(b.ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = current_database() and application_name = 'orderflow'`).Scan(&n))
		killed += n
		rounds++
		return killed >= 5 && rounds >= 25
	})
	writers.Wait()

	b.reset()
	truth := b.truth(uuid.Nil)
	if len(truth) != 450 {
		t.Fatalf("%d events", len(truth))
	}
	b.collect(out, truth)
}

// reset forgets connections that may be dead.
func (b *bundle) reset() { b.pool.Reset() }

// A log that cannot be read when the tail starts is waited for, and not read from
// its very beginning then.
func TestTailStartsWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(event(uuid.New()))
	head := b.head()
	b.exec(`alter table events rename to events_away`)
	back := sync.OnceFunc(func() { b.exec(`alter table events_away rename to events`) })
	tail := events.NewTail(b.log, slog.New(warnings(back)))

	first := b.next(b.run(tail))

	if len(first.list) != 0 || first.at != head {
		t.Errorf("begins with %d events at %s, want %s", len(first.list), first.at, head)
	}
}

// warnings calls itself at each line that is logged.
type warnings func()

func (w warnings) Enabled(context.Context, slog.Level) bool  { return true }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler        { return w }
func (w warnings) WithGroup(string) slog.Handler             { return w }
func (w warnings) Handle(context.Context, slog.Record) error { w(); return nil }

// A backlog of several pages comes in order, and in one go.
func TestTailPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tail, out := b.tail()
	tx := b.begin()
	user := uuid.New()
	list := make([]events.Event, 5000)
	for i := range list {
		list[i] = event(user)
	}
	b.must(events.Append(b.ctx, tx, list))
	b.must(tx.Commit(b.ctx))

	tail.Wake()

	b.collect(out, b.truth(uuid.Nil))
}
