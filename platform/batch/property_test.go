package batch_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/platform/batch"
)

// world plays the database: an item is done when a run that had it did not fail.
type world struct {
	mu   sync.Mutex
	done map[int]int // item -> how many committed runs had it
}

func (w *world) commit(items []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range items {
		w.done[n]++
	}
}

func (w *world) count(item int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done[item]
}

var errAway = errors.New("away")

// what becomes of a run is in its items: tens are spoiled and roll back the batch,
// elevens find the database away, twelves panic after the commit.
func (w *world) run(slow time.Duration) func(context.Context, []int) ([]batch.Result[int], error) {
	return func(ctx context.Context, items []int) ([]batch.Result[int], error) {
		timer := time.NewTimer(slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		for _, n := range items {
			switch n % 20 {
			case 10:
				return nil, errSpoiled
			case 11:
				return nil, errAway
			}
		}
		w.commit(items)
		for _, n := range items {
			if n%20 == 12 {
				panic("after the commit")
			}
		}
		return double(ctx, items)
	}
}

type plan struct{ arrives, patience time.Duration }

// In every schedule, each Do returns one of the permitted outcomes, and the outcome is true. No
// item is executed twice.
func TestEveryOutcomeIsLegalAndTrue(t *testing.T) {
	t.Parallel()
	ms := func(t *rapid.T, most int, name string) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, name)) * time.Millisecond
	}
	rapid.Check(t, func(r *rapid.T) {
		opts := batch.Options{
			MaxItems:          rapid.IntRange(1, 6).Draw(r, "max"),
			QueueSize:         rapid.IntRange(1, 12).Draw(r, "queue"),
			Concurrency:       rapid.IntRange(1, 3).Draw(r, "writers"),
			Timeout:           time.Duration(rapid.IntRange(4, 40).Draw(r, "timeout")) * time.Millisecond,
			RetryIndividually: func(err error) bool { return errors.Is(err, errSpoiled) },
		}
		slow, end := ms(r, 8, "slow"), ms(r, 60, "end")
		plans := make([]plan, rapid.IntRange(1, 40).Draw(r, "callers"))
		for i := range plans {
			plans[i] = plan{arrives: ms(r, 60, "arrives"), patience: ms(r, 30, "patience")}
		}

		w := &world{done: map[int]int{}}
		outcomes := make([]outcome, len(plans))
		synctest.Test(t, func(t *testing.T) {
			g := batch.New(opts, w.run(slow))
			ctx, cancel := context.WithTimeout(context.Background(), end)
			defer cancel()
			var all sync.WaitGroup
			all.Go(func() { _ = g.Run(ctx) })
			for i, p := range plans {
				all.Go(func() {
					<-time.After(p.arrives)
					ctx, cancel := context.WithTimeout(context.Background(), p.patience)
					defer cancel()
					v, err := g.Do(ctx, i)
					outcomes[i] = outcome{i, v, err}
				})
			}
			all.Wait() // hangs, and so fails, if a caller gets no result
		})

		for _, got := range outcomes {
			done, err := w.count(got.item), got.err
			if done > 1 {
				r.Fatalf("%d was done %d times", got.item, done)
			}
			switch {
			case err == nil:
				if done != 1 || got.value != 2*got.item {
					r.Fatalf("%v, but done %d times", got, done)
				}
			case errors.Is(err, batch.ErrOutcomeUnknown): // either
			case errors.Is(err, batch.ErrBusy), errors.Is(err, batch.ErrStopped), errors.Is(err, errSpoiled),
				errors.Is(err, errAway), errors.Is(err, context.DeadlineExceeded):
				if done != 0 {
					r.Fatalf("%v, but it was done", got)
				}
			default:
				r.Fatalf("not a legal outcome: %v", got)
			}
		}
	})
}
