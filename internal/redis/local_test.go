package redis

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model is a bucket that leaks one call per step. The code keeps a point in
// time instead of a level.
func TestLocalAgreesWithALeakyBucket(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := Limit{
			Count:  rapid.IntRange(1, 50).Draw(t, "count"),
			Period: time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "period")),
		}
		step := limit.step()
		var l local
		var now, level time.Duration

		for range rapid.IntRange(1, 100).Draw(t, "calls") {
			gap := time.Duration(rapid.Int64Range(0, int64(2*step)).Draw(t, "gap"))
			now += gap
			level = max(0, level-gap)
			fits := level+step <= step*time.Duration(limit.Count)
			if fits {
				level += step
			}

			d := l.allow(now, hash("caller"), limit)

			if d.Allowed != fits || d.ResetAfter != level || !d.Local {
				t.Fatalf("at %s with level %s: %+v, want allowed %v", now, level, d, fits)
			}
			if d.Allowed == (d.RetryAfter > 0) {
				t.Fatalf("allowed %v, yet retry after %s", d.Allowed, d.RetryAfter)
			}
		}
	})
}

// A call after RetryAfter is allowed, and one nanosecond earlier is refused; Remaining calls
// are allowed at once, and one more is refused.
func TestLocalKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := Limit{
			Count:  rapid.IntRange(1, 50).Draw(t, "count"),
			Period: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "period")),
		}
		var l local
		now, key := time.Duration(0), hash("caller")
		d := l.allow(now, key, limit)

		for range d.Remaining {
			now += time.Duration(rapid.Int64Range(0, int64(limit.step())/100).Draw(t, "gap")) / time.Duration(limit.Count)
			if d = l.allow(now, key, limit); !d.Allowed {
				t.Fatalf("promised call refused: %+v", d)
			}
		}
		if d.Remaining != 0 {
			t.Fatalf("%d calls left after all", d.Remaining)
		}
		if d = l.allow(now, key, limit); d.Allowed {
			t.Fatalf("one call too many: %+v", d)
		}
		if early := l.allow(now+d.RetryAfter-1, key, limit); early.Allowed {
			t.Fatalf("passed before RetryAfter %s", d.RetryAfter)
		}
		if late := l.allow(now+d.RetryAfter, key, limit); !late.Allowed {
			t.Fatalf("refused after RetryAfter %s: %+v", d.RetryAfter, late)
		}
	})
}

// Redis and the node must say the same, or the fields jump when Redis goes.
func TestLocalAgreesWithRedis(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		shared := patient(t, s.url)
		for _, limit := range []Limit{{200, 200 * time.Hour}, {7, 60 * time.Hour}, {10, 10 * time.Hour}, {1, time.Hour}, {3, 10 * time.Hour}} {
			var alone local
			near := since(time.Now())
			for n := range limit.Count + 2 {
				got := shared.Allow(t.Context(), limit.policy("x"), limit)
				want := alone.allow(0, hash("x"), limit)
				if got.Allowed != want.Allowed || got.Remaining != want.Remaining {
					t.Errorf("call %d of %+v: Redis %+v, local %+v", n, limit, got, want)
				}
				near(t, got.ResetAfter, want.ResetAfter)
				near(t, got.RetryAfter, want.RetryAfter)
			}
		}
	})
}

func TestLocalIsBounded(t *testing.T) {
	t.Parallel()
	var l local
	limit := Limit{Count: 2, Period: time.Hour}
	victim := hash("refused")
	for range 3 {
		l.allow(0, victim, limit)
	}

	for n := range uint64(4 * shards * capacity) {
		l.allow(time.Duration(n), numbered(n), limit)
	}
	if kept := l.size(); kept > shards*capacity || kept < shards*capacity/2 {
		t.Errorf("a flood of keys left %d, want at most %d and not many less", kept, shards*capacity)
	}
	if d := l.allow(time.Minute, victim, limit); d.Allowed {
		t.Error("a flood of keys freed one that was refused")
	}

	for n := range uint64(2 * shards * sweepMin) {
		l.allow(2*time.Hour+time.Duration(n), numbered(n+1<<40), Limit{Count: 1, Period: time.Nanosecond})
	}
	if kept := l.size(); kept > 2*shards*sweepMin {
		t.Errorf("%d keys are left when all are paid", kept)
	}
}

func numbered(n uint64) hashedKey {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], n)
	return hash(string(buf[:]))
}

func (l *local) size() (n int) {
	for i := range l {
		n += len(l[i].times)
	}
	return n
}

func BenchmarkLocalFlood(b *testing.B) {
	var l local
	for n := range uint64(b.N) {
		l.allow(0, numbered(n), Limit{Count: 10, Period: time.Minute})
	}
}
