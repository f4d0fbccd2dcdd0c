package queue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/platform/queue"
)

// SPEC F13: the oldest jobs of one queue are promoted, no more than the limit, and only those that
// wait for a worker.
func TestPromote_F13(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.JobTimeout, func(context.Context, *river.Job[args]) error { return nil })
	ctx := t.Context()
	ids := map[string]int64{}
	insert := func(name, queue string, priority int, state string, age time.Duration) {
		t.Helper()
		r, err := b.inserter.Insert(ctx, args{}, &river.InsertOpts{Queue: queue, Priority: priority})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = r.Job.ID
		_, err = b.pool.Exec(ctx, `update river_job set state = $2::river_job_state, scheduled_at = now() - make_interval(secs => $3) where id = $1`,
			r.Job.ID, state, age.Seconds())
		if err != nil {
			t.Fatal(err)
		}
	}
	insert("oldest", "parcels", 4, "available", 50*time.Second)
	insert("old", "parcels", 2, "available", 40*time.Second)
	insert("next", "parcels", 3, "available", 30*time.Second)
	insert("young", "parcels", 2, "available", 5*time.Second)
	insert("later", "parcels", 2, "scheduled", 60*time.Second)
	insert("elsewhere", "letters", 2, "available", 60*time.Second)

	promote := func(want int) {
		t.Helper()
		if n, err := queue.Promote(ctx, b.pool, "parcels", 10*time.Second, 2); err != nil || n != want {
			t.Errorf("promoted %d, %v; want %d", n, err, want)
		}
	}
	priorities := func() string {
		t.Helper()
		text := ""
		for _, name := range []string{"oldest", "old", "next", "young", "later", "elsewhere"} {
			text += fmt.Sprint(b.job(ids[name]).Priority)
		}
		return text
	}

	promote(2)
	if got := priorities(); got != "113222" {
		t.Errorf("priorities are %s", got)
	}
	promote(1)
	promote(0)
	if got := priorities(); got != "111222" {
		t.Errorf("priorities are %s", got)
	}
}
