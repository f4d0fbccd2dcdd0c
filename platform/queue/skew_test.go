package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// SPEC F3: if the clock of the database is behind that of the nodes, jobs are neither inserted nor
// snoozed into its future.
func TestJobsFollowTheClockOfTheDatabase_F3(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	b := setup(t, queue.JobTimeout, func(context.Context, *river.Job[args]) error {
		if calls.Add(1) == 1 {
			return river.JobSnooze(time.Hour)
		}
		return nil
	})
	const behind = 2 * time.Hour
	b.pool.SetSkew(-behind)
	if _, err := b.inserter.InsertManyFast(t.Context(), []river.InsertManyParams{
		{Args: args{}, InsertOpts: &river.InsertOpts{Queue: "elsewhere"}},
		{Args: args{}, InsertOpts: &river.InsertOpts{Queue: "elsewhere", ScheduledAt: time.Now().Add(5 * time.Hour)}},
	}); err != nil {
		t.Fatal(err)
	}
	ages := func(queue string) (list []time.Duration) {
		t.Helper()
		rows, err := b.pool.Query(t.Context(), `select extract(epoch from now() - scheduled_at)::double precision from river_job where queue = $1 order by id`, queue)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var seconds float64
			if err := rows.Scan(&seconds); err != nil {
				t.Fatal(err)
			}
			list = append(list, time.Duration(seconds*float64(time.Second)))
		}
		return list
	}
	near := func(got, want time.Duration) bool { return got > want-testwait.Limit && got < want+testwait.Limit }
	if got := ages("elsewhere"); len(got) != 2 || !near(got[0], behind) || !near(got[1], behind-5*time.Hour) {
		t.Errorf("jobs were due %v ago", got)
	}

	if _, err := b.inserter.Insert(t.Context(), args{}, nil); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "a second attempt in the past of the database", func() bool { return calls.Load() >= 2 })
}
