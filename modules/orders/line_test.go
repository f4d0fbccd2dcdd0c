package orders_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

var errLine = errors.New("the line was cut")

// scripted is setup with a bank that does what o says.
func scripted(t *testing.T, o simulated.Options, opts ...option) *bundle {
	t.Helper()
	o.Remember = true
	url := pgtest.URL(t)
	banks.Store(url, simulated.NewBank(o))
	return node(t, url, opts...)
}

// fails is a script by which the first tries of one kind of call go wrong.
func fails(call string, tries int, err error) func(string, string, int) error {
	return func(c, _ string, n int) error {
		if c == call && n <= tries {
			return err
		}
		return nil
	}
}

// outage makes one kind of call go wrong until it is over.
type outage struct {
	call string
	over atomic.Bool
}

func (o *outage) script(call, _ string, _ int) error {
	if call == o.call && !o.over.Load() {
		return errLine
	}
	return nil
}

// line is the way to the bank. It tells of each call before it arrives and after it
// is done, and an error there cuts the line.
type line struct {
	payments.Provider
	before, after func(call string) error
}

func (l *line) around(call string, do func() error) error {
	if l.before != nil {
		if err := l.before(call); err != nil {
			return err
		}
	}
	err := do()
	if l.after != nil {
		if cut := l.after(call); cut != nil {
			return cut
		}
	}
	return err
}

func (l *line) Authorize(ctx context.Context, a payments.Authorization) (ref string, err error) {
	err = l.around("authorize", func() (err error) { ref, err = l.Provider.Authorize(ctx, a); return err })
	return ref, err
}

func (l *line) Capture(ctx context.Context, c payments.Capture) error {
	return l.around("capture", func() error { return l.Provider.Capture(ctx, c) })
}

func (l *line) Void(ctx context.Context, v payments.Void) error {
	return l.around("void", func() error { return l.Provider.Void(ctx, v) })
}

func (l *line) Refund(ctx context.Context, r payments.Refund) (ref string, err error) {
	err = l.around("refund", func() (err error) { ref, err = l.Provider.Refund(ctx, r); return err })
	return ref, err
}

// over is another node, with the same people, that reaches the bank over l.
func (b *bundle) over(l line) *bundle {
	b.t.Helper()
	l.Provider = b.bank
	return b.another(func(d *orders.Deps) { d.Open = with(d.Pool, &l) })
}

// another is another node with the same people.
func (b *bundle) another(opts ...option) *bundle {
	b.t.Helper()
	n := node(b.t, b.url, opts...)
	n.alice, n.bob, n.admin = b.alice, b.bob, b.admin
	return n
}

// first runs do the first time that a call of this kind comes by.
func first(call string, do func()) func(string) error {
	done := false
	return func(c string) error {
		if c == call && !done {
			done = true
			do()
		}
		return nil
	}
}

func cut(call string) func(string) error {
	return func(c string) error {
		if c == call {
			return errLine
		}
		return nil
	}
}

// forgetful loses the answers to a step as long as it says so: what would record
// them does not commit.
type forgetful struct {
	orders.Settlement
	loses  func(step string) bool
	broken bool
}

func (f *forgetful) Apply(order uuid.UUID, c settlement.Command) (settlement.Change, error) {
	if answer, ok := c.(settlement.Answer); ok {
		f.broken = f.broken || f.loses(answer.Call.Step())
	}
	return f.Settlement.Apply(order, c)
}

func (f *forgetful) Queue(b *pgx.Batch) {
	if f.broken {
		b.Queue(`select 1/0`)
	}
	f.Settlement.Queue(b)
}

func forgets(loses func(step string) bool) option {
	return func(d *orders.Deps) {
		open := d.Open
		d.Open = func(b *pgx.Batch, ids []uuid.UUID) orders.Settlement {
			return &forgetful{Settlement: open(b, ids), loses: loses}
		}
	}
}

// hurry makes each job's next try due at once, until the end of the test.
func (b *bundle) hurry() {
	b.t.Helper()
	b.start(func(ctx context.Context) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			_, err := b.pool.Exec(ctx, `update river_job set state = 'available', scheduled_at = now()
				where state in ('available', 'retryable', 'scheduled') and scheduled_at > now()`)
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
	})
}

// quiet polls until no job is left to be run.
func (b *bundle) quiet() {
	b.t.Helper()
	b.until("jobs are left", `select count(*) = 0 from river_job where state not in ('completed', 'cancelled', 'discarded')`)
}

func (b *bundle) until(otherwise, query string, args ...any) {
	b.t.Helper()
	testwait.Until(b.t, otherwise, func() (yes bool) { // nothing in this process tells of another one's commit
		if err := b.pool.QueryRow(b.ctx, query, args...).Scan(&yes); err != nil {
			b.t.Fatal(err)
		}
		return yes
	})
}

// effects counts what the bank did, by kind.
func (b *bundle) effects() map[string]int {
	n := map[string]int{}
	for _, e := range b.bank.Effects() {
		n[e.Kind]++
	}
	return n
}

// settle runs all jobs to their ends, as River would but without its pauses. What
// is to come back later stays, and is counted.
func (b *bundle) settle() (snoozed int) {
	b.t.Helper()
	for {
		jobs := column[job](b, b.t, `
			delete from river_job where state = 'available' returning id, (args->>'orderId')::uuid`)
		if len(jobs) == 0 {
			return snoozed
		}
		for _, j := range jobs {
			if b.tries(j.Order) {
				snoozed++
			}
		}
	}
}

type job struct {
	ID    int64
	Order uuid.UUID
}

// isSnooze tells whether a job wants to come back without a try being counted.
func isSnooze(err error) bool {
	_, ok := errors.AsType[*river.JobSnoozeError](err)
	return ok
}

// tries runs one job's tries, the last of which gives up.
func (b *bundle) tries(order uuid.UUID) (later bool) {
	b.t.Helper()
	for attempt := 1; ; attempt++ {
		err := orders.Try(b.Module)(b.ctx, order, attempt)
		if isSnooze(err) {
			return true
		}
		if _, ok := errors.AsType[*rivertype.JobCancelError](err); ok || err == nil {
			return false
		}
		if attempt == queue.MaxAttempts {
			b.t.Fatalf("order %s: not even given up: %v", order, err)
		}
	}
}
