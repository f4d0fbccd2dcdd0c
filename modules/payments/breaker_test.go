package payments_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/modules/payments"
)

// line is a provider whose every call ends as told.
type line struct {
	payments.Provider
	mu    sync.Mutex
	asked int
	err   error
	hangs bool
}

var errBroken = errors.New("broken")

func (l *line) Name() string { return "line" }

func (l *line) Authorize(ctx context.Context, _ payments.Authorization) (string, error) {
	l.mu.Lock()
	l.asked++
	err, hangs := l.err, l.hangs
	l.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return "ref", err
}

func (l *line) becomes(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *line) calls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// away asks once and returns the wait, or fails.
func away(t *testing.T, p payments.Provider) time.Duration {
	t.Helper()
	_, err := p.Authorize(t.Context(), payments.Authorization{})
	refusal, ok := errors.AsType[*payments.Unavailable](err)
	if !ok {
		t.Fatalf("got %v, want Away", err)
	}
	return refusal.RetryAfter
}

func asks(t *testing.T, p payments.Provider, n int, want error) {
	t.Helper()
	for range n {
		if _, err := p.Authorize(t.Context(), payments.Authorization{}); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
}

// SPEC D4: an unavailable provider is not called, no attempt is used up, and it is
// asked gently when its time has come.
func TestGuardOpensAndCloses_D4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &line{err: errBroken}
		var changes []string
		p := payments.Guard(l, breaker.Options{OnChange: func(name, from, to string) {
			changes = append(changes, name+" "+from+" "+to)
		}})

		asks(t, p, 10, errBroken)
		before := l.calls()
		if wait := away(t, p); wait != 5*time.Second {
			t.Errorf("wait %v, want 5 s", wait)
		}
		<-time.After(3 * time.Second)
		if wait := away(t, p); wait != 2*time.Second {
			t.Errorf("wait %v, want 2 s", wait)
		}
		if l.calls() != before {
			t.Error("asked while away")
		}

		<-time.After(2*time.Second + time.Millisecond)
		asks(t, p, 1, errBroken) // the first probe fails: away again
		away(t, p)

		<-time.After(5*time.Second + time.Millisecond)
		l.becomes(nil)
		asks(t, p, 200, nil)

		want := "line closed open|line open half-open|line half-open open|line open half-open|line half-open closed"
		if got := strings.Join(changes, "|"); got != want {
			t.Errorf("changes:\n%s\nwant:\n%s", got, want)
		}
	})
}

// While some try, all others wait a little.
func TestGuardLetsFewTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &line{err: errBroken}
		p := payments.Guard(l, breaker.Options{InARow: 1, Probes: 2})
		asks(t, p, 1, errBroken)
		<-time.After(5*time.Second + time.Millisecond)
		l.hangs = true
		before := l.calls()

		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, err := p.Authorize(t.Context(), payments.Authorization{})
				if e, ok := errors.AsType[*payments.Unavailable](err); ok && e.RetryAfter != time.Second {
					t.Errorf("wait %v, want 1 s", e.RetryAfter)
				}
			})
		}
		all.Wait()

		if got := l.calls() - before; got != 2 {
			t.Errorf("%d tried, want 2", got)
		}
	})
}

// Half of the answers being failures is enough; a decline is an answer.
func TestGuardCountsAnswers(t *testing.T) {
	t.Parallel()
	declined, rejected := &payments.Declined{Code: "x"}, &payments.Rejected{Code: "x"}
	synctest.Test(t, func(t *testing.T) {
		l := &line{}
		p := payments.Guard(l, breaker.Options{})
		for range 100 {
			l.becomes(declined)
			asks(t, p, 1, declined)
			l.becomes(rejected)
			asks(t, p, 1, rejected)
		}

		<-time.After(11 * time.Second) // out of the window
		for i := range 20 {
			l.becomes([]error{nil, errBroken}[i%2])
			asks(t, p, 1, l.err)
		}

		away(t, p)
	})
}

// A success ends a row of failures.
func TestGuardForgetsARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &line{}
		p := payments.Guard(l, breaker.Options{Sample: 1000})
		for range 10 {
			l.becomes(errBroken)
			asks(t, p, 9, errBroken)
			l.becomes(nil)
			asks(t, p, 1, nil)
		}
	})
}

// A call is cut off when its time is up, and a provider that never answers is away.
func TestGuardTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := payments.Guard(&line{hangs: true}, breaker.Options{})
		began := time.Now()

		asks(t, p, 1, context.DeadlineExceeded)

		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v, want 10 s", took)
		}
		asks(t, p, 9, context.DeadlineExceeded)
		away(t, p)
	})
}

// SPEC D5: a node that stops gives up its calls; the provider has done no wrong.
func TestGuardForgivesOurOwnStop_D5(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &line{hangs: true}
		p := payments.Guard(l, breaker.Options{})
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := p.Authorize(ctx, payments.Authorization{}); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		stop()
		all.Wait()

		l.hangs = false
		asks(t, p, 1, nil)
		if _, err := p.Authorize(ctx, payments.Authorization{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if l.calls() != 51 {
			t.Error("asked after the end")
		}
	})
}
