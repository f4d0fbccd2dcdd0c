package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// SPEC F3: the depths of queues, and how long the first job has been due.
func TestDepths_F3(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.JobTimeout, func(context.Context, *river.Job[args]) error { return nil })
	ctx := t.Context()
	for name, rows := range map[string][]string{"letters": {"available", "available", "running"}, "parcels": {"scheduled", "completed"}} {
		for i, state := range rows {
			r, err := b.inserter.Insert(ctx, args{}, &river.InsertOpts{Queue: name})
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.pool.Exec(ctx, `update river_job set state = $2::river_job_state, finalized_at = case when $2 = 'completed' then now() end,
				scheduled_at = now() + make_interval(mins => case when $3 = 'parcels' then 5 else -1 - $4::int end) where id = $1`, r.Job.ID, state, name, i)
			if err != nil {
				t.Fatal(err)
			}
		}
	}

	list, err := queue.Depths(ctx, b.pool)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, want := range []queue.Depth{{"letters", "available", 2, 2 * time.Minute}, {"letters", "running", 1, 3 * time.Minute}, {"parcels", "scheduled", 1, 0}} {
		got := list[i]
		if got.Queue != want.Queue || got.State != want.State || got.Jobs != want.Jobs || got.Overdue < want.Overdue || got.Overdue > want.Overdue+testwait.Limit {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// One client leads while it runs, and none that does not run.
func TestLeads(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.JobTimeout, func(context.Context, *river.Job[args]) error { return nil })
	leads := func(c *queue.Client) bool {
		t.Helper()
		yes, err := queue.Leads(t.Context(), b.pool, c)
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	if leads(b.inserter) {
		t.Error("a client that does not run leads")
	}
	_, err := b.pool.Exec(t.Context(), `insert into river_leader (elected_at, expires_at, leader_id) values (now(), now() + interval '1 minute', $1)
		on conflict (name) do update set leader_id = excluded.leader_id, expires_at = excluded.expires_at`, b.inserter.ID())
	if err != nil {
		t.Fatal(err)
	}
	if !leads(b.inserter) {
		t.Error("the leader does not lead")
	}
	if _, err := b.pool.Exec(t.Context(), `update river_leader set elected_at = now() - interval '2 minutes', expires_at = now() - interval '1 minute'`); err != nil {
		t.Fatal(err)
	}
	if leads(b.inserter) {
		t.Error("a leader whose term is over leads")
	}
}
