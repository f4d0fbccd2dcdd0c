// Package testwait is how tests wait for what another goroutine or process brings about.
//
// No test may depend on the speed of its machine: what is waited for either comes, however
// late, or the test hangs. Limit only ends a test that hangs. It is not part of any assertion:
// a rule about time is tested with a clock of the test's own, see testing/synctest.
package testwait

import (
	"testing"
	"time"
)

// Limit ends a test that hangs. It is far more than anything takes that works, also on a
// machine that is ten times slower and does five other things.
const Limit = 2 * time.Minute

// The pauses between two looks grow from least to most, so that a slow machine is not kept
// busy by being asked.
const (
	least = time.Millisecond
	most  = 50 * time.Millisecond
)

// For takes one value that must come. what names it in the failure's text.
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

// Until asks again and again whether something holds that gives no signal when it does.
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

// slower is how often AtSomePace tries, each time four times slower.
const slower = 4

// AtSomePace is for what can only be shown with real time between two steps, such as a peer
// that stays alive as long as it answers: a machine that stands still for longer than the pace
// makes it fail. What is right holds at some pace, and what is wrong at none. do returns an error
// when it failed in the way that the machine may be to blame for; it may fail t for any other reason.
func AtSomePace(t *testing.T, pace time.Duration, do func(t *testing.T, pace time.Duration) error) {
	t.Helper()
	for range slower {
		err := do(t, pace)
		if err == nil || t.Failed() {
			return
		}
		t.Logf("at a pace of %s: %v", pace, err)
		pace *= 4
	}
	t.Error("at no pace")
}
