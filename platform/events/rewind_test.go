package events_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// beneath changes rows of the log directly, which the product never does. Readers then see
// what they see after a database went back to an earlier state.
func (b *bundle) beneath(sql string, args ...any) {
	b.t.Helper()
	b.must(postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(b.ctx, `set local session_replication_role = replica`); err != nil {
			return err
		}
		_, err := tx.Exec(b.ctx, sql, args...)
		return err
	}))
}

// forget removes an event.
func (b *bundle) forget(e events.Event) {
	b.t.Helper()
	b.beneath(`delete from events where order_id = $1 and version = $2`, e.OrderID, e.Version)
}

// put writes an event with numbers that were given out before.
func (b *bundle) put(at events.Cursor, e events.Event) {
	b.t.Helper()
	b.beneath(`insert into events (xid, seq, order_id, version, user_id, type, data, actor, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		at.Xid, at.Seq, e.OrderID, e.Version, e.UserID, e.Type, string(e.Data), string(e.Actor), e.At)
}

// E3: every reader first looks up the event of its cursor, and reports when it is missing.
func TestEveryReadVerifiesItsCursor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user, order := uuid.New(), uuid.New()
	b.append(eventOf(order, 1, user))
	b.append(eventOf(order, 2, user))
	b.append(eventOf(order, 3, user))
	b.append(eventOf(order, 4, user))
	all := b.after(events.Cursor{}, uuid.Nil, 10).Events
	kept, lost, another := all[0].Cursor, all[1].Cursor, all[2].Cursor
	b.forget(all[1])
	b.forget(all[2])
	b.put(another, event(user))
	held := b.begin()
	b.must(events.Append(b.ctx, held, []events.Event{event(user)}))
	var waiting events.Cursor
	b.must(pgx.BeginFunc(b.ctx, b.connect(), func(tx pgx.Tx) error { return events.Append(b.ctx, tx, []events.Event{event(user)}) }))
	b.must(b.pool.QueryRow(b.ctx, `select xid, seq from events order by xid desc, seq desc limit 1`).Scan(&waiting.Xid, &waiting.Seq))

	old := func(c events.Cursor) events.Cursor { c.Digest = 0; return c }
	elsewhere := kept
	elsewhere.Epoch = "00000000"
	rows := []struct {
		name string
		at   events.Cursor
		good bool
	}{
		{"there", kept, true},
		{"there, of a version without digests", old(kept), true},
		{"the beginning", events.Cursor{Epoch: kept.Epoch}, true},
		{"gone", lost, false},
		{"gone, without a digest", old(lost), false},
		{"another event", another, false},
		{"another event, without a digest", old(another), true}, // indistinguishable without a digest
		{"another database", elsewhere, false},
		{"the beginning of another database", events.Cursor{Epoch: "00000000"}, false},
		{"not visible yet", waiting, false},
		{"the future", events.Cursor{Epoch: kept.Epoch, Xid: math.MaxUint64, Seq: math.MaxInt64}, false},
		{"no number", events.Cursor{Epoch: kept.Epoch, Xid: kept.Xid}, false},
	}
	for _, row := range rows {
		_, of1 := b.log.After(b.ctx, row.at, uuid.Nil, 10)
		_, of2 := b.log.After(b.ctx, row.at, user, 10)
		_, of3 := b.log.AfterInOrder(b.ctx, row.at, order, user, 10)
		of4 := b.log.Verify(b.ctx, row.at)
		gone, err := b.log.Expired(b.ctx, row.at, user, time.Hour)
		b.must(err)
		for _, err := range []error{of1, of2, of3, of4} {
			if errors.Is(err, events.ErrRewritten) == row.good || err != nil && row.good {
				t.Errorf("%s: %v", row.name, err)
			}
		}
		if gone == row.good {
			t.Errorf("%s: gone %t", row.name, gone)
		}
	}
}

// An event has the same cursor in every API: a client may take it from one to the other.
func TestCursorsAgree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := event(uuid.New())
	e.At = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.FixedZone("", 3600)) // microseconds
	b.append(e)

	got := map[string]events.Cursor{"head": b.head()}
	page := b.after(events.Cursor{}, uuid.Nil, 10)
	got["page"], got["next"] = page.Events[0].Cursor, page.Next
	got["user's page"] = b.after(events.Cursor{}, e.UserID, 10).Events[0].Cursor
	ofOrder, err := b.log.AfterInOrder(b.ctx, events.Cursor{}, e.OrderID, e.UserID, 10)
	b.must(err)
	got["order's page"] = ofOrder.Events[0].Cursor
	history, err := b.log.History(b.ctx, e.OrderID)
	b.must(err)
	got["history"] = history[0].Cursor
	found, err := b.log.Find(b.ctx, e.OrderID, 1)
	b.must(err)
	got["find"] = found.Cursor
	got["since"], err = b.log.Since(b.ctx, time.Now().AddDate(100, 0, 0))
	b.must(err)
	old := page.Next
	old.Digest = 0
	got["behind a cursor of an earlier version"] = b.after(old, uuid.Nil, 10).Next

	want := page.Events[0].Cursor
	for name, c := range got {
		if c != want || c.Digest == 0 || !strings.HasPrefix(c.String(), c.Epoch+"-") {
			t.Errorf("%s: %s, want %s", name, c, want)
		}
	}
}

// E3: a tail whose last event is missing reports it, continues from the present end, and skips no
// event that is written afterwards, with any numbers.
func TestTailOfALogThatWentBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var said []string
	tail := events.NewTail(b.log, slog.New(lines(func(r slog.Record) {
		if strings.Contains(r.Message, "replaced") {
			said = append(said, r.Message)
		}
	})))
	rewritten := make(chan events.Cursor, 10)
	tail.OnRewritten(func(at events.Cursor) { rewritten <- at })
	out := b.run(tail)
	b.next(out)
	b.append(event(uuid.New()), event(uuid.New()))
	tail.Wake()
	last := b.next(out)
	for last.at != b.head() {
		last = b.next(out)
	}
	kept, lost := b.after(events.Cursor{}, uuid.Nil, 10).Events[0], b.after(events.Cursor{}, uuid.Nil, 10).Events[1]

	b.forget(lost)
	tail.Wake()
	at := soon(t, rewritten)
	fresh := event(uuid.New())
	b.put(lost.Cursor, fresh) // the very numbers, for another event
	tail.Wake()

	if at != kept.Cursor {
		t.Errorf("goes on from %s, want %s", at, kept.Cursor)
	}
	b.collect(out, []string{fresh.Message().ID})
	if tail.Rewrites() != 1 || len(rewritten) != 0 || len(said) != 1 {
		t.Errorf("rewritten %d times, said %q", tail.Rewrites(), said)
	}
}

// soon receives what has to come.
func soon[T any](t *testing.T, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(testwait.Limit):
		t.Fatal("nothing came")
	}
	return got
}

// lines are handed every line that is logged.
type lines func(slog.Record)

func (l lines) Enabled(context.Context, slog.Level) bool      { return true }
func (l lines) WithAttrs([]slog.Attr) slog.Handler            { return l }
func (l lines) WithGroup(string) slog.Handler                 { return l }
func (l lines) Handle(_ context.Context, r slog.Record) error { l(r); return nil }

// A restart of the database, which nothing is lost by, is no such thing.
func TestTailOfADatabaseThatRestarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tail, out := b.tail()
	var want []string
	for range 5 {
		e := event(uuid.New())
		b.commit(e)
		want = append(want, e.Message().ID)
		_, err := b.connect().Exec(b.ctx, `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and application_name = 'orderflow'`)
		b.must(err)
		b.reset()
		tail.Wake()
	}

	b.collect(out, want)
	if tail.Rewrites() != 0 {
		t.Errorf("rewritten %d times", tail.Rewrites())
	}
}

// E3: a log that is adopted under a running node is read on from its new numbers, and
// readers go on behind the event that they stood behind. Nothing has to be restarted.
func TestAdoptUnderRunningReaders(t *testing.T) {
	t.Parallel()
	r := setupReaders(t)
	tail := events.NewTail(r.log, slog.New(slog.DiscardHandler))
	rewritten := make(chan events.Cursor, 10)
	tail.OnRewritten(func(at events.Cursor) { rewritten <- at })
	out := r.bundle.run(tail)
	r.next(out)
	reader, _ := r.run(r.note)
	r.append(event(uuid.New()), event(uuid.New()))
	r.await(2)
	tail.Wake()
	for at := (events.Cursor{}); at != r.head(); {
		at = r.next(out).at
	}
	r.beneath(`update event_log set epoch = '0badcafe'`)

	r.must(events.Rebase(r.ctx, r.connect()))
	tail.Wake()
	for !r.hasEpoch(soon(t, rewritten)) { // it may have seen the epoch that came before
		tail.Wake()
	}
	fresh := event(uuid.New())
	r.append(fresh)
	tail.Wake()
	reader.Wake()

	r.collect(out, []string{fresh.Message().ID})
	if got, want := r.await(3), r.truth(uuid.Nil); !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
}

func (b *bundle) hasEpoch(c events.Cursor) bool { b.t.Helper(); return c.Epoch == b.head().Epoch }

// A reader's row goes back with the data. What the reader remembers of it is of no use
// then, and everything that is written afterwards is taken, once.
func TestReaderOfALogThatWentBack(t *testing.T) {
	t.Parallel()
	r := setupReaders(t)
	r.append(event(uuid.New()))
	reader, _ := r.run(r.note)
	r.await(1)
	kept := r.after(events.Cursor{}, uuid.Nil, 10).Events[0]
	r.append(event(uuid.New()), event(uuid.New()))
	reader.Wake()
	r.await(3)
	lost := r.after(kept.Cursor, uuid.Nil, 10).Events

	// One transaction, so that the reader sees either state and none between.
	r.beneath(`with gone as (delete from events where order_id = any($1)), less as (delete from taken where id <> $2)
		update event_readers set xid = $3, seq = $4, order_id = $5, version = $6 where name = 'test'`,
		[]uuid.UUID{lost[0].OrderID, lost[1].OrderID}, kept.Message().ID, kept.Cursor.Xid, kept.Cursor.Seq, kept.OrderID, kept.Version)
	r.put(lost[0].Cursor, event(uuid.New()))
	r.put(lost[1].Cursor, event(uuid.New()))
	reader.Wake()
	got := r.await(3)

	if want := r.truth(uuid.Nil); !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
}

// A reader whose event is not in the log skips nothing: it reports the fault until an operator decides.
func TestReaderThatIsAheadOfTheLog(t *testing.T) {
	t.Parallel()
	r := setupReaders(t)
	r.append(event(uuid.New()))
	r.append(event(uuid.New()))
	_, stop := r.run(r.note)
	r.await(2)
	stop()
	last := r.after(events.Cursor{}, uuid.Nil, 10).Events[1]
	r.forget(last)
	r.put(last.Cursor, event(uuid.New()))
	said := make(chan string, 100)
	reader := events.NewConsumer(r.log, "test", r.note, slog.New(lines(func(rec slog.Record) {
		rec.Attrs(func(a slog.Attr) bool { said <- a.Value.String(); return true })
	})))
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error)
	go func() { done <- reader.Run(ctx) }()

	soon(t, said)
	why := soon(t, said)
	r.append(event(uuid.New()))
	reader.Wake()
	soon(t, said)
	cancel()
	r.must(<-done)

	if !strings.Contains(why, "test is at") || len(r.taken()) != 2 {
		t.Errorf("said %q, took %v", why, r.taken())
	}
}

// The event of a cursor is found by one probe of the stream's index, with any statistics of the
// planner.
func TestPlanOfVerification(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`alter table events set (autovacuum_enabled = false)`)
	for range 5 {
		b.exec(`insert into events (order_id, version, user_id, type, data, actor, at)
			select gen_random_uuid(), 1, gen_random_uuid(), 'order.created', '{}', 'system', now() from generate_series(1, 5100) i`)
	}
	for _, statistics := range []string{`select`, `analyze events`} {
		b.exec(statistics)
		for _, generic := range []bool{false, true} {
			plan := strings.Join(b.plan(uuid.Nil, generic), "\n")
			_, probe, _ := strings.Cut(plan, "Index Scan using events_stream on events c (")
			line := strings.SplitN(probe, "\n", 3)

			if len(line) < 2 || !strings.Contains(line[1], "Index Cond: ") || !strings.Contains(line[1], "(xid = ") || !strings.Contains(line[1], "(seq = ") {
				t.Errorf("%s, generic %t: want one probe by xid and seq:\n%s", statistics, generic, plan)
			}
			if strings.Contains(plan, "Seq Scan on events") {
				t.Errorf("%s, generic %t: reads the table:\n%s", statistics, generic, plan)
			}
		}
	}
}
