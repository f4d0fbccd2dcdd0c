package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orderflow-dev/orderflow/platform/batch"
)

type gatherer = batch.Batcher[int, int]

// start runs g until the end of the test.
func start(t *testing.T, g *gatherer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// double answers each item with its double.
func double(_ context.Context, items []int) ([]batch.Result[int], error) {
	results := make([]batch.Result[int], len(items))
	for i, n := range items {
		results[i].Value = 2 * n
	}
	return results, nil
}

// gate holds the first batch until it is opened, and knows what ran.
type gate struct {
	entered chan struct{} // one value for each batch that begins
	open    chan struct{}

	mu      sync.Mutex
	batches [][]int
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 1000), open: make(chan struct{})} }

func (g *gate) run(ctx context.Context, items []int) ([]batch.Result[int], error) {
	g.mu.Lock()
	g.batches = append(g.batches, slices.Clone(items))
	g.mu.Unlock()
	g.entered <- struct{}{}
	<-g.open
	return double(ctx, items)
}

func (g *gate) ran() [][]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.batches)
}

type outcome struct {
	item, value int
	err         error
}

func do(ctx context.Context, g *gatherer, item int) <-chan outcome {
	answer := make(chan outcome, 1)
	go func() {
		v, err := g.Do(ctx, item)
		answer <- outcome{item, v, err}
	}()
	return answer
}

func TestSingleCallerDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := batch.New(batch.Options{}, double)
		stop := start(t, g)

		began := time.Now()
		for n := range 100 {
			if v, err := g.Do(t.Context(), n); v != 2*n || err != nil {
				t.Fatal(v, err)
			}
		}

		// The clock of the bubble only moves when all goroutines wait.
		if took := time.Since(began); took != 0 {
			t.Errorf("a caller alone waited %v", took)
		}
		stop()
	})
}

func TestThoseWhoCameMeanwhileShareARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sizes := make(chan int, 10)
		held := newGate()
		g := batch.New(batch.Options{MaxItems: 20, Observe: func(n int, _ time.Duration) { sizes <- n }}, held.run)
		stop := start(t, g)

		first := do(t.Context(), g, 0)
		<-held.entered
		var rest []<-chan outcome
		for n := range 50 {
			rest = append(rest, do(t.Context(), g, n+1))
		}
		synctest.Wait()
		close(held.open)

		for _, answer := range append(rest, first) {
			if got := <-answer; got.err != nil || got.value != 2*got.item {
				t.Error(got)
			}
		}
		stop()
		close(sizes)
		var all []int
		for n := range sizes {
			all = append(all, n)
		}
		if !slices.Equal(all, []int{1, 20, 20, 10}) {
			t.Errorf("batches of %v", all)
		}
	})
}

func TestEachGetsTheirOwnAnswer(t *testing.T) {
	t.Parallel()
	for _, writers := range []int{1, 4} {
		t.Run(fmt.Sprint(writers, " writers"), func(t *testing.T) {
			t.Parallel()
			g := batch.New(batch.Options{MaxItems: 7, Concurrency: writers}, func(ctx context.Context, items []int) ([]batch.Result[int], error) {
				results, _ := double(ctx, items)
				for i, n := range items {
					if n%10 == 0 {
						results[i] = batch.Result[int]{Err: fmt.Errorf("bad %d", n)}
					}
				}
				return results, nil
			})
			start(t, g)

			var all sync.WaitGroup
			for c := range 200 {
				all.Go(func() {
					for k := range 20 {
						n := c*100 + k
						v, err := g.Do(t.Context(), n)
						switch {
						case n%10 == 0 && (err == nil || err.Error() != fmt.Sprintf("bad %d", n)):
							t.Errorf("%d: error %v", n, err)
						case n%10 != 0 && (v != 2*n || err != nil):
							t.Errorf("%d: got %d, %v", n, v, err)
						}
					}
				})
			}
			all.Wait()
		})
	}
}

func TestWithdrawnBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	held := newGate()
	g := batch.New(batch.Options{}, held.run)
	stop := start(t, g)
	first := do(t.Context(), g, 1)
	<-held.entered

	cause := errors.New("gone home")
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := do(ctx, g, 2)
	cancel(cause)
	got := <-gone
	close(held.open)
	<-first
	stop()

	if !errors.Is(got.err, context.Canceled) || errors.Is(got.err, batch.ErrOutcomeUnknown) {
		t.Errorf("got %v, want a plain cancellation", got.err)
	}
	if ran := held.ran(); len(ran) != 1 {
		t.Errorf("ran %v, want only the first", ran)
	}
}

// late is a context that ends only once the batch has been answered, or did so
// before, but is only found out then.
type late struct {
	context.Context
	over     atomic.Bool
	answered func()
}

func (l *late) Err() error {
	if l.over.Load() {
		return context.Canceled
	}
	return nil
}

func (l *late) Done() <-chan struct{} {
	l.answered()
	l.over.Store(true)
	done := make(chan struct{})
	close(done)
	return done
}

func TestOverBeforeItBegan(t *testing.T) {
	t.Parallel()
	held := newGate()
	close(held.open)
	g := batch.New(batch.Options{}, held.run)
	ctx := &late{Context: t.Context(), answered: start(t, g)}
	ctx.over.Store(true)

	if _, err := g.Do(ctx, 1); !errors.Is(err, context.Canceled) || errors.Is(err, batch.ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
	if ran := held.ran(); len(ran) != 0 {
		t.Errorf("%v ran for a caller that had gone", ran)
	}
}

// SPEC C2: who leaves after being taken is not told that nothing happened.
func TestUnknownOnceItIsTaken(t *testing.T) {
	t.Parallel()
	held := newGate()
	g := batch.New(batch.Options{}, held.run)
	stop := start(t, g)

	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	answer := do(ctx, g, 1)
	<-held.entered
	cancel()
	got := <-answer
	close(held.open)
	stop()

	if !errors.Is(got.err, batch.ErrOutcomeUnknown) || !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %v, want unknown and why", got.err)
	}
	if ran := held.ran(); len(ran) != 1 {
		t.Errorf("ran %v", ran)
	}
}

// An answer that is there when the context ends is given.
func TestAnswerAndEndAtOnce(t *testing.T) {
	t.Parallel()
	for n := range 100 { // select takes either
		g := batch.New(batch.Options{}, double)
		if v, err := g.Do(&late{Context: t.Context(), answered: start(t, g)}, n); v != 2*n || err != nil {
			t.Fatalf("an answer that was there was not given: %v", err)
		}
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := newGate()
		g := batch.New(batch.Options{QueueSize: 3}, held.run)
		stop := start(t, g)

		answers := []<-chan outcome{do(t.Context(), g, 0)}
		<-held.entered
		for n := range 3 {
			answers = append(answers, do(t.Context(), g, n+1))
		}
		synctest.Wait()
		_, err := g.Do(t.Context(), 4)
		close(held.open)

		if !errors.Is(err, batch.ErrBusy) {
			t.Errorf("got %v, want busy", err)
		}
		for _, answer := range answers {
			if got := <-answer; got.err != nil {
				t.Error(got)
			}
		}
		if _, err := g.Do(t.Context(), 5); err != nil {
			t.Errorf("after the rush: %v", err)
		}
		stop()
	})
}

func TestStopAnswersAllCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := newGate()
		g := batch.New(batch.Options{MaxItems: 3}, held.run)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()

		var answers []<-chan outcome
		for n := range 10 {
			answers = append(answers, do(t.Context(), g, n))
		}
		<-held.entered
		synctest.Wait()
		cancel()
		synctest.Wait()
		_, late := g.Do(t.Context(), 11)
		close(held.open)

		if !errors.Is(late, batch.ErrStopped) {
			t.Errorf("late: %v", late)
		}
		for _, answer := range answers {
			if got := <-answer; got.err != nil || got.value != 2*got.item {
				t.Errorf("waiting: %v", got)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestPanicIsUnknownForAllCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held, asked := newGate(), atomic.Int32{}
		g := batch.New(batch.Options{RetryIndividually: func(error) bool { asked.Add(1); return true }}, func(ctx context.Context, items []int) ([]batch.Result[int], error) {
			results, err := held.run(ctx, items)
			if slices.Contains(items, 13) {
				panic("thirteen")
			}
			return results, err
		})
		stop := start(t, g)

		first := do(t.Context(), g, 1)
		<-held.entered
		answers := []<-chan outcome{do(t.Context(), g, 12), do(t.Context(), g, 13)}
		synctest.Wait()
		close(held.open)

		if got := <-first; got.err != nil {
			t.Error(got)
		}
		for _, answer := range answers {
			// It may have panicked after COMMIT, so no caller gets a failure.
			if got := <-answer; !errors.Is(got.err, batch.ErrOutcomeUnknown) || !strings.Contains(got.err.Error(), "thirteen") {
				t.Errorf("got %v", got.err)
			}
		}
		if v, err := g.Do(t.Context(), 21); v != 42 || err != nil {
			t.Errorf("after the panic: %d, %v", v, err)
		}
		stop()
		if asked.Load() != 0 || len(held.ran()) != 3 {
			t.Errorf("an unknown outcome was tried again: %v", held.ran())
		}
	})
}

func TestWrongNumberOfResults(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 2} {
		g := batch.New(batch.Options{}, func(context.Context, []int) ([]batch.Result[int], error) {
			return make([]batch.Result[int], n), nil
		})
		stop := start(t, g)

		_, err := g.Do(t.Context(), 1)

		if !errors.Is(err, batch.ErrOutcomeUnknown) {
			t.Errorf("%d results for one item: %v", n, err)
		}
		stop()
	}
}

var errSpoiled = errors.New("spoiled")

func TestABadItemFailsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := newGate()
		g := batch.New(batch.Options{RetryIndividually: func(err error) bool { return errors.Is(err, errSpoiled) }}, func(ctx context.Context, items []int) ([]batch.Result[int], error) {
			results, err := held.run(ctx, items)
			if slices.Contains(items, 13) {
				return nil, fmt.Errorf("batch of %d: %w", len(items), errSpoiled)
			}
			return results, err
		})
		stop := start(t, g)

		first := do(t.Context(), g, 1)
		<-held.entered
		var answers []<-chan outcome
		for n := range 5 {
			answers = append(answers, do(t.Context(), g, 11+n))
		}
		synctest.Wait()
		close(held.open)
		<-first

		for _, answer := range answers {
			switch got := <-answer; {
			case got.item == 13 && !errors.Is(got.err, errSpoiled):
				t.Errorf("the bad one: %v", got.err)
			case got.item != 13 && (got.err != nil || got.value != 2*got.item):
				t.Errorf("a good one: %v", got)
			}
		}
		stop()
	})
}

func TestAnErrorOfAll(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	g := batch.New(batch.Options{}, func(context.Context, []int) ([]batch.Result[int], error) { return nil, away })
	start(t, g)

	if _, err := g.Do(t.Context(), 1); !errors.Is(err, away) || errors.Is(err, batch.ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
}

func TestABatchHasItsOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := batch.New(batch.Options{Timeout: 3 * time.Second}, func(ctx context.Context, _ []int) ([]batch.Result[int], error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		stop := start(t, g)
		began := time.Now()

		_, err := g.Do(t.Context(), 1)

		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 3*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		stop()
	})
}
