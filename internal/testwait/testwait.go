// Package testwait lets tests wait for the effect of another goroutine or process.
//
// No test may depend on the speed of its machine. The awaited effect occurs at some time, or the
// test hangs, and Limit ends a test that hangs. Limit is not part of any assertion: rules about
// time are tested with a synthetic clock, see testing/synctest.
package testwait

import (
	"testing"
	"time"
)

// Limit ends a test that hangs. It is much longer than any correct wait takes, also on a machine
// that is ten times slower and runs five other programs.
const Limit = 2 * time.Minute

// The pause between two polls grows from least to most, so that polling does not load a slow
// machine.
const (
	least = time.Millisecond
	most  = 50 * time.Millisecond
)

// For receives one value from a channel. It fails the test, naming what, after Limit.
func For[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	timer := time.NewTimer(Limit)
	defer timer.Stop()
	select {
	case v := <-from:
		return v
	case <-timer.C:
		t.Fatalf("%s: not within %s", what, Limit)
		panic("unreachable")
	}
}

// Until polls holds until it returns true, for conditions without a signal. It fails the test,
// naming what, after Limit.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	begun := time.Now()
	for pause := least; !holds(); pause = min(2*pause, most) {
		if time.Since(begun) > Limit {
			t.Fatalf("%s: not within %s", what, Limit)
		}
		<-time.After(pause)
	}
}

// paces is the number of attempts of RetrySlower. Each one is four times slower than the one
// before.
const paces = 4

// RetrySlower tests behaviour that can only be shown with real time between two steps, such as a
// peer that stays connected as long as it responds. A machine that stalls for longer than the pace
// makes a correct program fail, so the test is repeated more slowly: a correct program passes at
// some pace, an incorrect one at none. do returns an error for a failure that a slow machine may
// have caused, and fails t for any other.
func RetrySlower(t *testing.T, pace time.Duration, do func(t *testing.T, pace time.Duration) error) {
	t.Helper()
	for range paces {
		err := do(t, pace)
		if err == nil || t.Failed() {
			return
		}
		t.Logf("at a pace of %s: %v", pace, err)
		pace *= 4
	}
	t.Error("at no pace")
}
