package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

type args struct {
	N int `json:"n"`
}

func (args) Kind() string { return "test" }

type worker struct {
	river.WorkerDefaults[args]
	work func(context.Context, *river.Job[args]) error
}

func (w *worker) Work(ctx context.Context, job *river.Job[args]) error { return w.work(ctx, job) }

// bundle is a process that inserts and one that works, on one database.
type bundle struct {
	t        *testing.T
	pool     *postgres.Pool
	inserter *queue.Client
	stop     func() error // asks the worker to stop and waits for it
}

func setup(t *testing.T, soft time.Duration, work func(context.Context, *river.Job[args]) error) *bundle {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	pool, err := postgres.Open(context.Background(), pgtest.URL(t), 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := &bundle{t: t, pool: pool}
	if b.inserter, err = queue.NewInserter(pool, quiet); err != nil {
		t.Fatal(err)
	}

	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{work: work})
	c, err := queue.NewWorker(pool, queue.Options{Workers: workers, MaxWorkers: 10, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx, c, soft) }()
	stopped := false
	b.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// insert inserts a job in a transaction, as the product does.
func (b *bundle) insert(opts *river.InsertOpts) int64 {
	b.t.Helper()
	var id int64
	err := postgres.InTx(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		r, err := b.inserter.InsertTx(b.t.Context(), tx, args{}, opts)
		if err == nil {
			id = r.Job.ID
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bundle) job(id int64) *rivertype.JobRow {
	b.t.Helper()
	row, err := b.inserter.JobGet(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return row
}

func TestFromInsertToWork(t *testing.T) {
	t.Parallel()
	worked := make(chan int64, 1)
	b := setup(t, 5*time.Second, func(_ context.Context, job *river.Job[args]) error {
		worked <- job.ID
		return nil
	})
	b.insert(nil)
	testwait.For(t, "worked", worked) // the worker is up

	for range 5 {
		id := b.insert(nil)
		if got := testwait.For(t, "worked", worked); got != id {
			t.Errorf("worked %d, want %d", got, id)
		}
		if row := b.job(id); row.MaxAttempts != queue.MaxAttempts {
			t.Errorf("%d tries", row.MaxAttempts)
		}
	}
}

// What runs when the node stops may finish.
func TestStopLetsJobsFinish(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	b := setup(t, time.Minute, func(ctx context.Context, _ *river.Job[args]) error {
		close(entered)
		<-leave
		return ctx.Err()
	})
	id := b.insert(nil)
	testwait.For(t, "entered", entered)

	ended := make(chan error, 1)
	go func() { ended <- b.stop() }()
	close(leave)

	if err := testwait.For(t, "ended", ended); err != nil {
		t.Error(err)
	}
	if row := b.job(id); row.State != rivertype.JobStateCompleted || row.Attempt != 1 {
		t.Errorf("%s after %d tries", row.State, row.Attempt)
	}
}

// SPEC D5: a job that the stop cut short waits for another node, and its try is
// not counted, not even the last one.
func TestStopCountsNoTry(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(context.Context) error{
		"snoozed":   func(context.Context) error { return river.JobSnooze(0) },
		"cancelled": func(ctx context.Context) error { return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entered, stopping := make(chan struct{}), make(chan bool, 1)
			b := setup(t, 0, func(ctx context.Context, _ *river.Job[args]) error {
				close(entered)
				<-ctx.Done()
				stopping <- queue.Stopping(ctx)
				return end(ctx)
			})
			id := b.insert(&river.InsertOpts{MaxAttempts: 1})
			testwait.For(t, "entered", entered)

			if err := b.stop(); err != nil {
				t.Error(err)
			}

			if !<-stopping {
				t.Error("the job was not told that the node is stopping")
			}
			if row := b.job(id); row.State != rivertype.JobStateAvailable || row.Attempt != 0 || len(row.Errors) != 0 || row.ScheduledAt.After(time.Now().Add(time.Second)) {
				t.Errorf("%s at %v, try %d, %v", row.State, row.ScheduledAt, row.Attempt, row.Errors)
			}
		})
	}
}

// A job that was canceled by a user or timed out is not snoozed.
func TestStoppingIsNothingElse(t *testing.T) {
	t.Parallel()
	entered, stopping := make(chan struct{}), make(chan bool, 1)
	b := setup(t, 0, func(ctx context.Context, _ *river.Job[args]) error {
		close(entered)
		<-ctx.Done()
		stopping <- queue.Stopping(ctx)
		return ctx.Err()
	})
	id := b.insert(nil)
	testwait.For(t, "entered", entered)
	if _, err := b.inserter.JobCancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if testwait.For(t, "stopping", stopping) {
		t.Error("a cancelled job takes the node for stopping")
	}

	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if queue.Stopping(ctx) || queue.Stopping(t.Context()) {
		t.Error("a job out of time, or at work, takes the node for stopping")
	}
}

func TestAFailureIsCountedAndRetried(t *testing.T) {
	t.Parallel()
	tried := make(chan int, 10)
	b := setup(t, 0, func(_ context.Context, job *river.Job[args]) error {
		tried <- job.Attempt
		if job.Attempt == 1 {
			return errors.New("oh")
		}
		return nil
	})
	b.insert(nil)

	for want := 1; want <= 2; want++ {
		if got := testwait.For(t, "tried", tried); got != want {
			t.Errorf("try %d, want %d", got, want)
		}
	}
}

// What waits in a queue of its own takes no slot of the others, nor they of it.
func TestQueuesApart(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), pgtest.URL(t), 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	entered, leave := make(chan string, 10), make(chan struct{})
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{work: func(_ context.Context, job *river.Job[args]) error {
		entered <- job.Queue
		if job.Queue != "marker" {
			<-leave
		}
		return nil
	}})
	c, err := queue.NewWorker(pool, queue.Options{Workers: workers, MaxWorkers: 1, Queues: map[string]int{"apart": 2, "marker": 1}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx, c, time.Minute) }()
	for range 3 {
		for _, name := range []string{"apart", river.QueueDefault} {
			if _, err := c.Insert(t.Context(), args{}, &river.InsertOpts{Queue: name}); err != nil {
				t.Fatal(err)
			}
		}
	}

	got := map[string]int{}
	for range 3 {
		got[testwait.For(t, "entered", entered)]++
	}
	// Work in a third queue comes in while all places of these two are taken, after more polls of
	// them than it takes to find what waits there.
	for range 3 {
		if _, err := c.Insert(t.Context(), args{}, &river.InsertOpts{Queue: "marker"}); err != nil {
			t.Fatal(err)
		}
		if name := testwait.For(t, "the marker", entered); name != "marker" {
			t.Errorf("a further one of %s", name)
		}
	}

	if got["apart"] != 2 || got[river.QueueDefault] != 1 {
		t.Errorf("%v at once", got)
	}
	var waiting int
	if err := pool.QueryRow(t.Context(), "select count(*) from river_job where state = 'available'").Scan(&waiting); err != nil || waiting != 3 {
		t.Errorf("%d jobs wait, %v", waiting, err)
	}
	close(leave)
	for range 3 {
		testwait.For(t, "one that waited", entered)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
