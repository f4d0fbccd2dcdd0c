package queue_test

import (
	"context"
	"maps"
	"testing"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/platform/queue"
)

type parcelArgs struct {
	ParcelID uuid.UUID `json:"parcelId"`
}

func (parcelArgs) Kind() string { return "parcel" }

// Live knows a job in each state that is not final, and no other kind, queue or id.
func TestLive(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.JobTimeout, func(context.Context, *river.Job[args]) error { return nil })
	ctx := t.Context()
	job := func(name string) uuid.UUID {
		t.Helper()
		id := uuid.New()
		job, err := b.inserter.Insert(ctx, parcelArgs{id}, &river.InsertOpts{Queue: "parcels"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.pool.Exec(ctx, `update river_job set state = $2::river_job_state,
			finalized_at = case when $2 in ('completed', 'cancelled', 'discarded') then now() end where id = $1`, job.Job.ID, name)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	want, ids := map[uuid.UUID]bool{}, []uuid.UUID{uuid.New()}
	for _, state := range []string{"available", "pending", "retryable", "running", "scheduled"} {
		id := job(state)
		want[id], ids = true, append(ids, id)
	}
	for _, state := range []string{"completed", "cancelled", "discarded"} {
		ids = append(ids, job(state))
	}
	job("available") // not among the ids that are asked for

	got, err := queue.Live(ctx, b.pool, "parcels", "parcel", "parcelId", ids)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, other := range [][3]string{{"default", "parcel", "parcelId"}, {"parcels", "test", "parcelId"}, {"parcels", "parcel", "orderId"}} {
		if got, err := queue.Live(ctx, b.pool, other[0], other[1], other[2], ids); err != nil || len(got) > 0 {
			t.Errorf("%v: %v, %v", other, got, err)
		}
	}
}
