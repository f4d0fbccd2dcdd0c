package events_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

// bundle is a log in a database of its own.
type bundle struct {
	t    *testing.T
	ctx  context.Context
	url  string
	pool *postgres.Pool
	log  *events.Log
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, ctx: t.Context(), url: pgtest.URL(t)}
	pool, err := postgres.Open(b.ctx, b.url, 16)
	b.must(err)
	t.Cleanup(pool.Close)
	b.pool = pool
	b.reopen()
	return b
}

// reopen is a restart of the reader: the epoch is read afresh.
func (b *bundle) reopen() {
	b.t.Helper()
	log, err := events.OpenLog(b.ctx, b.pool)
	b.must(err)
	b.log = log
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.ctx, sql, args...)
	b.must(err)
}

// begin opens a transaction that the test ends, or else the end of the test does.
func (b *bundle) begin() pgx.Tx {
	b.t.Helper()
	tx, err := b.pool.Begin(b.ctx)
	b.must(err)
	b.t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// append commits the events in a transaction of their own, and waits until
// readers see them: the transactions of other tests on this server hold them up.
func (b *bundle) append(list ...events.Event) {
	b.t.Helper()
	b.commit(list...)
	b.settle()
}

// commit is append without the waiting.
func (b *bundle) commit(list ...events.Event) {
	b.t.Helper()
	b.must(postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return events.Append(b.ctx, tx, list) }))
}

// settle waits until nothing is held up any more.
func (b *bundle) settle() {
	b.t.Helper()
	for b.after(b.head(), uuid.Nil, 1).Waiting {
		select {
		case <-time.After(time.Millisecond):
		case <-b.ctx.Done():
			b.t.Fatal(b.ctx.Err())
		}
	}
}

func (b *bundle) after(c events.Cursor, user uuid.UUID, limit int) events.Page {
	b.t.Helper()
	page, err := b.log.After(b.ctx, c, user, limit)
	b.must(err)
	return page
}

func (b *bundle) head() events.Cursor {
	b.t.Helper()
	c, err := b.log.Head(b.ctx)
	b.must(err)
	return c
}

// truth is the order of the log, of one user or of all, read at once.
func (b *bundle) truth(user uuid.UUID) []string {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, `select order_id || '/' || version from events
		where $1::uuid in (user_id, '00000000-0000-0000-0000-000000000000') order by xid, seq`, user)
	b.must(err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	b.must(err)
	return list
}

// event is the first event of a new order.
func event(user uuid.UUID) events.Event { return eventOf(uuid.New(), 1, user) }

func eventOf(order uuid.UUID, version int64, user uuid.UUID) events.Event {
	return events.Event{
		OrderID: order, Version: version, UserID: user, Type: "order.created",
		Data: json.RawMessage(`{"a":1}`), Actor: identity.System, At: events.Now(),
	}
}

func ids(list []events.Event) []string {
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Message().ID
	}
	return names
}

// tail runs a tail that has found its beginning.
func (b *bundle) tail(change ...func(*events.Tail)) (*events.Tail, <-chan delivery) {
	b.t.Helper()
	tail := events.NewTail(b.log, slog.New(slog.DiscardHandler))
	for _, f := range change {
		f(tail)
	}
	out := b.run(tail)
	if first := b.next(out); len(first.list) != 0 {
		b.t.Fatalf("begins with %d events", len(first.list))
	}
	return tail, out
}

// run runs a tail to the end of the test. What it delivers comes out of the
// channel; the first is the place where it begins, without events.
func (b *bundle) run(tail *events.Tail) <-chan delivery {
	b.t.Helper()
	out := make(chan delivery, 1000)
	tail.Subscribe(func(list []events.Event, at events.Cursor) { out <- delivery{list, at} })
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	var running sync.WaitGroup
	running.Go(func() {
		if err := tail.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return out
}

type delivery struct {
	list []events.Event
	at   events.Cursor
}

func (b *bundle) next(from <-chan delivery) delivery {
	b.t.Helper()
	return testwait.For(b.t, "a delivery", from)
}
