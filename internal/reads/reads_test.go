package reads_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// SPEC F10: an account has half of the slots for all kinds of reads together, the number of its
// waiting reads is limited, and the other half is for other accounts.
func TestAnAccountHasHalf(t *testing.T) {
	t.Parallel()
	for conns, slots := range map[int32]int{4: 1, 8: 2, 12: 3, 20: 4, 1000: 4} {
		synctest.Test(t, func(t *testing.T) {
			r, end := reads.New(conns), make(chan struct{})
			var running atomic.Int32
			read := func() error {
				running.Add(1)
				defer running.Add(-1)
				<-end
				return nil
			}
			account := uuid.New()
			for range 10 {
				for _, class := range []reads.Class{reads.Page, reads.Stats, reads.CatchUp} {
					go func() {
						if err := r.Do(t.Context(), class, account, read); err != nil {
							t.Error(err)
						}
					}()
				}
			}
			synctest.Wait()
			if n := int(running.Load()); n != max(slots/2, 1) {
				t.Errorf("%d connections: %d reads of one account run", conns, n)
			}
			for range slots {
				go func() { _ = r.Do(t.Context(), reads.Page, uuid.New(), read) }()
			}
			synctest.Wait()
			if n := int(running.Load()); n != slots {
				t.Errorf("%d connections: %d reads run", conns, n)
			}
			close(end)
			synctest.Wait()
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, end := reads.New(20), make(chan struct{})
		account := uuid.New()
		for range 2 + 10 {
			go func() {
				_ = r.Do(context.Background(), reads.Stats, account, func() error { <-end; return nil })
			}()
		}
		synctest.Wait()
		never := func() error { t.Error("it read"); return nil }

		err := r.Do(t.Context(), reads.Stats, account, never)
		if f, ok := fault.As(err); !ok || f.Code != "too-many-reads" || f.Kind != fault.KindRateLimited || f.RetryAfter == 0 {
			t.Errorf("one more of the account: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = r.Do(ctx, reads.CatchUp, account, never)
		if f, ok := fault.As(err); !ok || f.Code != "busy" || f.Kind != fault.KindUnavailable || f.RetryAfter == 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("out of time: %v", err)
		}
		if err := r.Do(t.Context(), reads.Stats, uuid.New(), func() error { return errors.New("its own") }); err == nil || err.Error() != "its own" {
			t.Errorf("another account: %v", err)
		}
		close(end)
		synctest.Wait()
	})
}
