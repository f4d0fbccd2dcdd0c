package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orderflow-dev/orderflow/internal/breaker"
)

var (
	errDown     = errors.New("down")
	errDeclined = errors.New("declined")
)

func isAnswer(err error) bool { return errors.Is(err, errDeclined) }

// ending returns a call that ends with err.
func ending(err error) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return 7, err }
}

// hang is a call that lasts until its context ends.
func hang(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func Example() {
	b := breaker.New[int]("bank", isAnswer, breaker.Options{InARow: 1, OnChange: func(name, from, to string) {
		fmt.Println(name, "was", from, "and is", to)
	}})
	ctx := context.Background()

	_, err := b.Do(ctx, ending(errDeclined))
	fmt.Println(err)
	_, err = b.Do(ctx, ending(errDown))
	fmt.Println(err)
	_, err = b.Do(ctx, ending(nil))
	open, ok := errors.AsType[*breaker.OpenError](err)
	fmt.Println(ok, open.RetryAfter.Round(time.Second))
	// Output:
	// declined
	// bank was closed and is open
	// down
	// true 5s
}

// A breaker that is open makes no call, says for how long, and closes after as many successful
// probes as it wants.
func TestOpensAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		b := breaker.New[int]("bank", isAnswer, breaker.Options{Probes: 2, OnChange: func(name, from, to string) {
			changes = append(changes, name+" "+from+" "+to)
		}})
		for range 10 {
			<-time.After(time.Minute) // failures in a row count however slowly they come
			wants(t, b, errDown)
		}

		refused(t, b, 5*time.Second)
		<-time.After(3 * time.Second)
		refused(t, b, 2*time.Second)
		<-time.After(2*time.Second + time.Millisecond)
		wants(t, b, errDown)
		refused(t, b, 5*time.Second)
		<-time.After(5*time.Second + time.Millisecond)
		wants(t, b, nil)
		wants(t, b, nil)
		for range 9 {
			wants(t, b, errDown)
		}

		want := []string{"bank closed open", "bank open half-open", "bank half-open open", "bank open half-open", "bank half-open closed"}
		if !slices.Equal(changes, want) {
			t.Errorf("changes %q, want %q", changes, want)
		}
	})
}

// While probes are under way, all other calls wait for a fifth of the time.
func TestProbesAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New[int]("bank", isAnswer, breaker.Options{InARow: 1, Probes: 2})
		wants(t, b, errDown)
		<-time.After(5*time.Second + time.Millisecond)
		var probes sync.WaitGroup
		for range 2 {
			probes.Go(func() {
				if _, err := b.Do(t.Context(), hang); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a probe ends with %v", err)
				}
			})
		}
		synctest.Wait()

		refused(t, b, time.Second)
		probes.Wait()
	})
}

// Half of the results within the window are enough; an answer is no failure.
func TestShareOfFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New[int]("bank", isAnswer, breaker.Options{})
		for i := range 200 {
			wants(t, b, []error{errDeclined, nil}[i%2])
		}
		<-time.After(11 * time.Second) // out of the window
		for i := range 20 {
			wants(t, b, []error{nil, errDown}[i%2])
		}
		refused(t, b, 5*time.Second)
	})
}

// A call that runs out of time is a failure; one that its caller gave up is not.
func TestTimeOutAndGivingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New[int]("bank", isAnswer, breaker.Options{InARow: 1, Timeout: 2 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Second, cancel)
		if _, err := b.Do(ctx, hang); !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
		if _, err := b.Do(ctx, ending(nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
		wants(t, b, nil) // it is still closed

		_, err := b.Do(t.Context(), hang)

		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		refused(t, b, 5*time.Second)
	})
}

func wants(t *testing.T, b *breaker.Breaker[int], want error) {
	t.Helper()
	if n, err := b.Do(t.Context(), ending(want)); n != 7 || !errors.Is(err, want) {
		t.Fatalf("%d, %v, want %v", n, err, want)
	}
}

func refused(t *testing.T, b *breaker.Breaker[int], wait time.Duration) {
	t.Helper()
	_, err := b.Do(t.Context(), func(context.Context) (int, error) {
		t.Error("a call was made")
		return 0, nil
	})
	if open, ok := errors.AsType[*breaker.OpenError](err); !ok || open.RetryAfter.Round(time.Millisecond*2) != wait {
		t.Fatalf("%v, want a wait of %v", err, wait)
	}
}
