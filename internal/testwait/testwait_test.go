package testwait_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// outcome runs wait as a test of its own and tells how it failed, and after how long.
func outcome(t *testing.T, wait func(testing.TB)) (failed string, took time.Duration) {
	t.Helper()
	r, done, begun := &recorder{TB: t}, make(chan struct{}), time.Now()
	go func() {
		defer close(done)
		wait(r)
	}()
	<-done
	return r.failed, time.Since(begun)
}

func TestWhatComesLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := time.After(testwait.Limit - time.Second)
		var due atomic.Bool
		time.AfterFunc(testwait.Limit-time.Second, func() { due.Store(true) })

		for name, wait := range map[string]func(testing.TB){
			"for":   func(t testing.TB) { testwait.For(t, "a tick", late) },
			"until": func(t testing.TB) { testwait.Until(t, "the time", func() bool { synctest.Wait(); return due.Load() }) },
		} {
			if failed, took := outcome(t, wait); failed != "" {
				t.Errorf("%s: %s after %s", name, failed, took)
			}
		}
	})
}

func TestWhatNeverComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, wait := range map[string]func(testing.TB){
			"for":   func(t testing.TB) { testwait.For(t, "a tick", make(chan int)) },
			"until": func(t testing.TB) { testwait.Until(t, "a tick", func() bool { return false }) },
		} {
			failed, took := outcome(t, wait)
			if failed != "a tick: not within 2m0s" || took < testwait.Limit || took > testwait.Limit+time.Second {
				t.Errorf("%s: %q after %s", name, failed, took)
			}
		}
	})
}
