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

// SPEC D4: failures of one caller close the service to that caller alone; failures of several
// close it to all, as soon as those of a single unnamed caller would.
func TestCallers_D4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all, own []string
		b := breaker.New[int]("bank", isAnswer, breaker.Options{
			OnChange:       func(_, from, to string) { all = append(all, from+" "+to) },
			OnCallerChange: func(_, from, to string) { own = append(own, from+" "+to) },
		})
		do := func(caller string, want error) (opened bool) {
			t.Helper()
			_, err := b.Do(breaker.For(t.Context(), caller), ending(want))
			if open, ok := errors.AsType[*breaker.OpenError](err); ok {
				if open.RetryAfter <= 0 || open.RetryAfter > 5*time.Second {
					t.Errorf("%s waits for %v", caller, open.RetryAfter)
				}
				return true
			}
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", caller, err, want)
			}
			return false
		}

		for i := range 10 {
			if do("eve", errDown) {
				t.Errorf("call %d of eve is refused", i)
			}
		}
		if !do("eve", nil) || do("ann", nil) || do("bob", errDeclined) {
			t.Errorf("the changes are %v, for callers %v", all, own)
		}
		for range 5 { // the probes of eve fail, beyond the window
			<-time.After(5*time.Second + time.Millisecond)
			do("eve", errDown)
			if do("ann", nil) {
				t.Fatalf("ann is refused after %v", all)
			}
		}
		for i := range 9 {
			if do(fmt.Sprint("customer ", i), errDown) {
				t.Errorf("customer %d is refused", i)
			}
		}
		if do("the tenth", errDown); !do("ann", nil) || len(all) != 1 || all[0] != "closed open" {
			t.Errorf("ten customers in a row do not open it: %v", all)
		}
		<-time.After(5*time.Second + time.Millisecond)
		for range 3 {
			do("ann", nil)
		}
		if do("bob", nil) || all[len(all)-1] != "half-open closed" {
			t.Errorf("it does not close: %v", all)
		}
	})
}

// callsOf returns a function that makes a call for a caller and reports whether it was refused.
func callsOf(t *testing.T, b *breaker.Breaker[int]) func(caller string, want error) (refused bool) {
	return func(caller string, want error) bool {
		t.Helper()
		_, err := b.Do(breaker.For(t.Context(), caller), ending(want))
		if _, refused := errors.AsType[*breaker.OpenError](err); refused {
			return true
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", caller, err, want)
		}
		return false
	}
}

// SPEC D4: failed probes of one caller do not keep a service that is available again from the others;
// those of two callers do.
func TestProbesOfOneCaller_D4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		b := breaker.New[int]("bank", isAnswer, breaker.Options{InARow: 2, OnChange: func(_, from, to string) { changes = append(changes, from+" "+to) }})
		do := callsOf(t, b)
		halfOpen := func() {
			t.Helper()
			do("cid", errDown)
			if do("dora", errDown); !do("ann", nil) {
				t.Fatalf("it is not open: %v", changes)
			}
			<-time.After(5*time.Second + time.Millisecond)
			changes = nil
		}

		halfOpen()
		if do("eve", errDown) || do("ann", nil) || do("eve", errDown) || do("ann", nil) || do("bob", errDeclined) || do("ann", nil) {
			t.Errorf("a probe is refused: %v", changes)
		}
		if want := []string{"open half-open", "half-open closed"}; !slices.Equal(changes, want) {
			t.Errorf("one caller fails: %v, want %v", changes, want)
		}

		<-time.After(time.Minute)
		halfOpen()
		do("eve", errDown)
		do("mallory", errDown)
		if want := []string{"open half-open", "half-open open"}; !do("ann", nil) || !slices.Equal(changes, want) {
			t.Errorf("two callers fail: %v, want %v", changes, want)
		}
		<-time.After(5*time.Second + time.Millisecond)
		if do("mallory", errDown) || do("ann", nil) {
			t.Errorf("the failure of eve counts beyond its round of probes: %v", changes)
		}
	})
}

// SPEC D4: what was counted before a change of state is forgotten, so that a service that fails again at
// once counts as unavailable again as fast as before.
func TestCountedFailuresEndWithTheState_D4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New[int]("bank", isAnswer, breaker.Options{Window: time.Minute, Sample: 1000})
		do := callsOf(t, b)
		fail := func() {
			for i := range 10 {
				if do(fmt.Sprint("customer ", i), errDown) {
					t.Errorf("customer %d is refused", i)
				}
			}
		}

		fail()
		if !do("ann", nil) {
			t.Fatal("ten callers do not open it")
		}
		<-time.After(5*time.Second + time.Millisecond)
		for range 3 {
			do("ann", nil)
		}
		fail() // within the window of the first failures

		if !do("ann", nil) {
			t.Error("the same ten callers do not open it again")
		}
	})
}
