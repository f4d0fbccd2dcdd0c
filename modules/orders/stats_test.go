package orders_test

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// grouped is what the counts must be, the slow way.
func (b *bundle) grouped() map[lifecycle.Status]int64 {
	b.t.Helper()
	counts := map[lifecycle.Status]int64{}
	for _, s := range lifecycle.All {
		counts[s] = b.count(`select count(*) from orders where status = $1 and deleted_at is null`, s)
	}
	return counts
}

func (b *bundle) stats(c identity.Caller) orders.Stats {
	b.t.Helper()
	s, err := b.Stats(b.ctx, c, uuid.Nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// C11, G2: while orders are placed, moved and cancelled on two nodes, and the counts
// folded over and over, what an administrator reads is always whole, and in the end
// it is what counting them all would give.
func TestCountsUnderEverything_C11_G2(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nodes := []*bundle{b, node(t, b.url)}
	b.products(map[string]int64{"A": -1, "FEW": 20})
	var placing, folding sync.WaitGroup
	done := make(chan struct{})
	for i := range 12 {
		placing.Go(func() {
			n := nodes[i%2]
			for range 15 {
				a, err := n.Place(n.ctx, b.alice, basket([]string{"A", "FEW"}[rand.IntN(2)], 1), idempotency.Key[orders.Order]{})
				if err != nil {
					t.Error(err)
					return
				}
				id := a.Value.ID
				if rand.IntN(2) == 0 {
					if err := n.Advance(n.ctx, id); err != nil {
						t.Error(err)
					}
				}
				if rand.IntN(2) == 0 {
					_, err := n.Cancel(n.ctx, b.admin, id, nil, nil, idempotency.Key[orders.Order]{})
					if _, refused := fault.As(err); err != nil && !refused {
						t.Error(err)
					}
				}
			}
		})
	}
	for _, n := range nodes {
		folding.Go(func() {
			var last int64
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := n.FoldCounts(n.ctx); err != nil {
					t.Error(err)
				}
				var sum int64
				for status, k := range b.stats(b.admin).Counts {
					if sum += k; k < 0 {
						t.Errorf("%d orders are %s", k, status)
					}
				}
				if sum < last {
					t.Errorf("%d orders, and %d before", sum, last)
				}
				last = sum
			}
		})
	}
	placing.Wait()
	close(done)
	folding.Wait()

	if diff := cmp.Diff(b.grouped(), b.stats(b.admin).Counts); diff != "" {
		t.Errorf("counts are not the orders: %s", diff)
	}
	if diff := cmp.Diff(b.grouped(), b.stats(b.alice).Counts); diff != "" {
		t.Errorf("alice placed them all: %s", diff)
	}
}

// G2: folding leaves a row for each status, however many there were.
func TestFoldingBoundsTheRows_G2(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	b.place(b.alice, basket("A", 1))
	b.exec(`insert into order_counts (status, n) select 'CANCELLED', case when i % 2 = 0 then 2 else -1 end from generate_series(1, 500) as i`)
	b.exec(`insert into order_counts (status, n) select 'SHIPPED', case when i % 2 = 0 then 1 else -1 end from generate_series(1, 500) as i`)
	before := b.stats(b.admin).Counts

	folded, err := b.FoldCounts(b.ctx)
	again, err2 := b.FoldCounts(b.ctx)

	if err != nil || err2 != nil || folded != 1001 || again != 0 {
		t.Errorf("folded %d and %d, %v, %v", folded, again, err, err2)
	}
	if n := b.count(`select count(*) from order_counts`); n != 2 {
		t.Errorf("%d rows are left", n)
	}
	if diff := cmp.Diff(before, b.stats(b.admin).Counts); diff != "" {
		t.Error(diff)
	}
}

// C11: as the API tells it, to each their own.
func TestStats_C11(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": 1})
	first := f.processed(f.alice, basket("A", 1))
	short := f.processed(f.alice, basket("A", 1)) // FAILED: there was one
	pending := f.place(f.bob, basket("A", 1))
	deleted := f.place(f.bob, basket("A", 1))
	f.exec(`update orders set deleted_at = now(), status = 'CANCELLED' where id = $1`, deleted.ID)
	f.exec(`insert into order_counts (status, n) values ('PENDING', -1)`) // as deleting it does
	oldest := func(o orders.Order) string {
		return `{"id":"` + o.ID.String() + `","createdAt":"` + o.CreatedAt.String() + `"}`
	}
	rows := []struct {
		name, who, path string
		status          int
		want            []string
	}{
		{"own", "alice", "", 200, []string{
			countsJSON(t, map[lifecycle.Status]int64{lifecycle.Failed: 1, lifecycle.Processing: 1}),
			`"rate":{"perSecond":0.03333333333333333,"perMinute":{"last1":2,"last5":0.4,"last15":0.1333`,
			`"FAILED":` + oldest(short), `"PROCESSING":` + oldest(first), `"PENDING":null`, `"at":"20`,
		}},
		{"all", "admin", "", 200, []string{
			countsJSON(t, map[lifecycle.Status]int64{lifecycle.Failed: 1, lifecycle.Pending: 1, lifecycle.Processing: 1}),
			`"last1":4,`, `"CANCELLED":null`, `"PENDING":` + oldest(pending), `"PROCESSING":` + oldest(first),
		}},
		{"one user's", "admin", "?userId=" + f.bob.UserID.String(), 200, []string{countsJSON(t, map[lifecycle.Status]int64{lifecycle.Pending: 1}), `"CANCELLED":null`, `"PENDING":` + oldest(pending)}},
		{"a stranger's", "alice", "?userId=" + f.bob.UserID.String(), 403, []string{`"code":"forbidden"`}},
		{"anonymous", "", "", 401, nil},
		{"bad user", "admin", "?userId=x", 400, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			status, body := f.ask(row.who, "GET /v1/orders/stats"+row.path, "")

			if status != row.status {
				t.Errorf("%d %s", status, body)
			}
			for _, want := range row.want {
				if !strings.Contains(body, want) {
					t.Errorf("%s\nlacks %s", body, want)
				}
			}
		})
	}
}

// countsJSON is the member counts: every status is there, with 0 unless it is given.
func countsJSON(t *testing.T, some map[lifecycle.Status]int64) string {
	t.Helper()
	for _, s := range lifecycle.All {
		some[s] += 0
	}
	raw, err := json.Marshal(some)
	if err != nil {
		t.Fatal(err)
	}
	return `"counts":` + string(raw)
}

// G2: of more orders than are looked at, the rate is that of the newest: here, of the 20,000
// of the last 40 seconds.
func TestRateOfARush_G2(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, now := b.flood(30_000, time.Minute) // 500 a second

	s, err := orders.StatsAt(b.ctx, b.Module, now)
	if err != nil {
		t.Fatal(err)
	}

	for name, got := range map[string]float64{
		"second": s.Rate.PerSecond * 60, "minute": s.Rate.PerMinute.Last1, "5 minutes": s.Rate.PerMinute.Last5, "15 minutes": s.Rate.PerMinute.Last15,
	} {
		if math.Abs(got-30_000) > 1 { // times are whole milliseconds
			t.Errorf("by the %s: %v a minute", name, got)
		}
	}
	later, err := orders.StatsAt(b.ctx, b.Module, now.Add(40*time.Second))
	if got := later.Rate.PerMinute; err != nil || math.Abs(got.Last1-10_000) > 500 || math.Abs(got.Last5-15_000) > 1 {
		t.Errorf("40 seconds later: %+v, %v", got, err)
	}
}

// G2: the oldest of a status that no order has is not looked for among all orders.
func TestOldestIsOneEndOfAnIndex_G2(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.flood(30_000, time.Hour)
	b.exec(`update orders set status = (array['PENDING', 'CONFIRMED', 'PROCESSING', 'SHIPPED', 'COMPLETED'])[1 + floor(random() * 5)::int]`)
	b.exec(`analyze orders`)

	rows, err := b.pool.Query(b.ctx, "explain "+orders.OldestSQL, lifecycle.All)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(lines, "\n")

	if !strings.Contains(plan, "Scan Backward using orders_status") || strings.Contains(plan, "Filter") || strings.Contains(plan, "Sort") {
		t.Errorf("the oldest of a status are looked for like this:\n%s", plan)
	}
}

// flood puts n orders of alice's into the table, spread over some time until now,
// each with a line.
func (b *bundle) flood(n int, over time.Duration) (ids []uuid.UUID, now time.Time) {
	b.t.Helper()
	now = events.Now()
	ids = make([]uuid.UUID, n)
	at := make([]time.Time, n)
	for i := range ids {
		at[i] = now.Add(-over * time.Duration(n-i) / time.Duration(n)).Truncate(time.Millisecond)
		ids[i] = idAt(at[i], i)
	}
	for part := range slices.Chunk(ids, 1_000) { // a statement may take 4 s, on any machine
		b.exec(`
			insert into orders (id, user_id, status, currency, total, version, due_at, created_at, updated_at)
			select id, $3, 'PENDING', 'EUR', 100, 1, at, at, at from unnest($1::uuid[], $2::timestamptz[]) as o (id, at)`,
			part, at[:len(part)], b.alice.UserID)
		b.exec(`insert into order_lines (order_id, line, sku, name, quantity, unit_price, total) select id, 1, 'A', 'Name of A', 1, 100, 100 from unnest($1::uuid[]) as o (id)`, part)
		at = at[len(part):]
	}
	b.exec(`insert into order_counts (status, n) values ('PENDING', $1)`, n)
	return ids, now
}

// idAt is a UUIDv7 of a time; n keeps those of one millisecond apart and in order.
func idAt(t time.Time, n int) uuid.UUID {
	id := uuid.UUID{6: 0x70, 8: 0x80}
	ms := t.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[13], id[14], id[15] = byte(n>>16), byte(n>>8), byte(n)
	return id
}

// SPEC F10: the statistics of an account wait for its own slots, and not those of others.
func TestStatsOfAnAccountTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	started, end := make(chan struct{}), make(chan struct{})
	go func() {
		_ = b.Reads.Do(b.ctx, reads.Stats, b.alice.UserID, func() error { close(started); <-end; return nil })
	}()
	<-started
	waits, stop := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer stop()

	if _, err := b.Stats(waits, b.alice, uuid.Nil); !fault.Is(err, "busy") {
		t.Errorf("of the same account: %v", err)
	}
	if _, err := b.Stats(b.ctx, b.bob, uuid.Nil); err != nil {
		t.Errorf("of another one: %v", err)
	}
	close(end)
	if _, err := b.Stats(b.ctx, b.alice, uuid.Nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
