package periodic_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/internal/wakeup"
)

// runs records when a task was run, as seconds since the test began.
func runs(t *testing.T, task periodic.Task, long time.Duration, do func(n int) error) (at []float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	began := time.Now()
	task.Run = func(context.Context) error {
		at = append(at, time.Since(began).Seconds())
		return do(len(at))
	}
	if task.Log == nil {
		task.Log = slog.New(slog.DiscardHandler)
	}
	if err := periodic.Run(ctx, task); err != nil {
		t.Error(err)
	}
	return at
}

func succeed(int) error { return nil }

func TestIntervals(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		task periodic.Task
		do   func(int) error
		want []float64
	}{
		"after an interval": {periodic.Task{Interval: 2 * time.Second}, succeed, []float64{2, 4, 6}},
		"at once":           {periodic.Task{Interval: 2 * time.Second, Immediately: true}, succeed, []float64{0, 2, 4, 6}},
		"once":              {periodic.Task{Immediately: true}, succeed, []float64{0}},
		"never":             {periodic.Task{}, succeed, nil},
		"runs that take time": {periodic.Task{Interval: 2 * time.Second}, func(n int) error {
			time.Sleep(time.Duration(n) * time.Second) //nolint:forbidigo // in the bubble of the test, where it takes no time
			return nil
		}, []float64{2, 4, 6}},
		"failures":  {periodic.Task{Interval: 2 * time.Second}, func(int) error { return errors.New("away") }, []float64{2, 4, 6}},
		"a panic":   {periodic.Task{Interval: 2 * time.Second}, func(int) error { panic("oh") }, []float64{2, 4, 6}},
		"too short": {periodic.Task{Interval: 9 * time.Second}, succeed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if got := runs(t, row.task, 7*time.Second, row.do); !slices.Equal(got, row.want) {
					t.Errorf("ran at %v, want %v", got, row.want)
				}
			})
		})
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := runs(t, periodic.Task{Interval: 100 * time.Second, Jitter: 0.25}, 100_000*time.Second, succeed)

		least, most, last := 1000.0, 0.0, 0.0
		for _, now := range at {
			least, most, last = min(least, now-last), max(most, now-last), now
		}
		if least < 75 || least > 80 || most > 125 || most < 120 {
			t.Errorf("intervals of %v to %v s over %d runs, want 75 to 125", least, most, len(at))
		}
	})
}

func TestWake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wake := wakeup.New()
		for _, at := range []time.Duration{time.Second, 4 * time.Second} {
			time.AfterFunc(at, wake.Send)
		}

		got := runs(t, periodic.Task{Interval: 2 * time.Second, Wake: wake}, 6500*time.Millisecond, succeed)
		if want := []float64{1, 3, 4, 6}; !slices.Equal(got, want) {
			t.Errorf("ran at %v, want %v: a wake-up starts an interval", got, want)
		}
	})
}

// A task that keeps failing says so once, and once more when it works again.
func TestLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		task := periodic.Task{Name: "clean", Interval: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))}

		runs(t, task, 7500*time.Millisecond, func(n int) error {
			if n == 2 || n == 3 || n == 6 {
				return fmt.Errorf("failure %d", n)
			}
			return nil
		})

		var got []string
		for line := range strings.Lines(log.String()) {
			_, message, _ := strings.Cut(line, " msg=")
			got = append(got, strings.TrimSpace(message))
		}
		want := []string{
			`"periodic task fails" task=clean error="failure 2"`, `"periodic task works again" task=clean`,
			`"periodic task fails" task=clean error="failure 6"`, `"periodic task works again" task=clean`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s", strings.Join(got, "\n"))
		}
	})
}

func ExampleRun() {
	ctx, stop := context.WithCancel(context.Background())
	wake := wakeup.New()

	_ = periodic.Run(ctx, periodic.Task{
		Name: "delete old carts", Interval: 10 * time.Minute, Jitter: 0.5, Immediately: true, Wake: wake, Log: slog.Default(),
		Run: func(context.Context) error {
			fmt.Println("deleted")
			stop()
			return nil
		},
	})
	// Output: deleted
}
