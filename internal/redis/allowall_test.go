package redis

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// fills makes calls until one is refused.
func fills(t *testing.T, l *Limiter, c Call) (n int) {
	t.Helper()
	for l.AllowAll(t.Context(), c)[0].Allowed {
		n++
	}
	return n
}

// SPEC A6, F4: several keys are one round trip, exact over two nodes; a key behind one
// that refuses is not counted.
func TestSeveralKeysAreCountedAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		p := slow(t, s)
		a, b := patient(t, p.url), patient(t, s.url)
		wide, narrow := Call{Key: "wide", Limit: Limit{Count: 10, Period: 100 * time.Hour}}, Call{Key: "narrow", Limit: Limit{Count: 4, Period: 100 * time.Hour}}
		a.AllowAll(t.Context(), Call{Key: "warm the script", Limit: wide.Limit})

		before, begun := p.asked.Load(), time.Now()
		d := a.AllowAll(t.Context(), wide, narrow)
		if trips := p.asked.Load() - before; trips != 1 || len(d) != 2 || !d[0].Allowed || !d[1].Allowed || d[0].Local {
			t.Errorf("%d round trips: %+v", trips, d)
		}

		passed := race(8, 5, func(n int) bool {
			d := []*Limiter{a, b}[n%2].AllowAll(t.Context(), narrow, wide)
			return len(d) == 2 && d[1].Allowed
		})
		if passed != 3 {
			t.Errorf("%d calls passed, want 3", passed)
		}
		near := since(begun)
		d = b.AllowAll(t.Context(), narrow, wide)
		if len(d) != 1 || d[0].Allowed || d[0].Limit != narrow.Limit {
			t.Errorf("the narrow one: %+v", d)
		}
		near(t, d[0].RetryAfter, 25*time.Hour)
		if got := fills(t, a, wide); got != 6 {
			t.Errorf("%d more of the wide one passed, want 6", got)
		}
		s.pass(26 * time.Hour)
		if d := a.AllowAll(t.Context(), narrow); !d[0].Allowed {
			t.Errorf("after its time: %+v", d)
		}
	})
}

// SPEC A6: what is given back can be taken again, on whichever node, whether Redis
// counts it or this node alone; and nothing is left behind that never ends.
func TestGiveBack(t *testing.T) {
	t.Parallel()
	first, second := Call{Key: "first", Limit: Limit{Count: 3, Period: 100 * time.Hour}}, Call{Key: "second", Limit: Limit{Count: 3, Period: 100 * time.Hour}}
	test := func(t *testing.T, a, b *Limiter) {
		t.Helper()
		local := a.AllowAll(t.Context(), first)[0].Local
		for range 5 {
			b.AllowAll(t.Context(), first, second)
			b.Cancel(t.Context(), local, first, second)
		}
		if got := fills(t, b, first); got != 2 {
			t.Errorf("%d calls passed, want 2", got)
		}
		a.Cancel(t.Context(), local, first)
		if got := fills(t, b, first); got != 1 {
			t.Errorf("%d calls passed after one was given back, want 1", got)
		}
		if got := fills(t, a, second); got != 3 {
			t.Errorf("%d calls of second passed, want 3", got)
		}
		a.Cancel(t.Context(), local, Call{Key: "a stranger", Limit: second.Limit})
	}
	each(t, func(t *testing.T, s *server) {
		test(t, patient(t, s.url), patient(t, s.url))
		c := open(t, s.url)
		keys, err := c.Keys(t.Context(), "*").Result()
		must(t, err)
		if len(keys) != 2 {
			t.Errorf("keys are %q", keys)
		}
		for _, key := range keys {
			if ttl, err := c.TTL(t.Context(), key).Result(); err != nil || ttl <= 0 {
				t.Errorf("%s lives for %s, %v", key, ttl, err)
			}
		}
	})
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		l := newLimiter(t, patiently(t, "redis://127.0.0.1:1"))
		test(t, l, l)
		if !l.Degraded() || l.Stats().Shared != 0 {
			t.Errorf("not alone: %+v", l.Stats())
		}
	})
}

// SPEC F13: a call with a cost takes so many from the budget, over two nodes and on one alone; what
// does not fit takes nothing.
func TestACallHasACost_F13(t *testing.T) {
	t.Parallel()
	budget := func(cost int) Call {
		return Call{Key: "budget", Limit: Limit{Count: 100, Period: 100 * time.Hour}, Cost: cost}
	}
	judge := func(t *testing.T, a, b *Limiter) {
		t.Helper()
		begun := time.Now()
		take := func(l *Limiter, cost int) Decision { return l.AllowAll(t.Context(), budget(cost))[0] }

		if d := take(a, 60); !d.Allowed || d.Remaining != 40 {
			t.Errorf("60 of 100: %+v", d)
		}
		if d := take(b, 41); d.Allowed || d.Remaining != 40 {
			t.Errorf("41 of the 40 that are left: %+v", d)
		} else {
			since(begun)(t, d.RetryAfter, time.Hour)
			since(begun)(t, d.ResetAfter, 60*time.Hour)
		}
		if d := take(b, 40); !d.Allowed || d.Remaining != 0 {
			t.Errorf("the 40 that are left: %+v", d)
		}
		if d := take(a, 1); d.Allowed {
			t.Errorf("one more: %+v", d)
		}
		a.Cancel(t.Context(), take(a, 1).Local, budget(30))
		if d := take(b, 30); !d.Allowed || d.Remaining != 0 {
			t.Errorf("30 that were given back: %+v", d)
		}
		if d := take(a, 101); d.Allowed {
			t.Errorf("more than the budget ever has: %+v", d)
		}
	}
	each(t, func(t *testing.T, s *server) { judge(t, patient(t, s.url), patient(t, s.url)) })
	t.Run("alone", func(t *testing.T) {
		alone := patient(t, "redis://127.0.0.1:1")
		judge(t, alone, alone)
	})
}

// The cost of a request with a credential, which counts under its caller and its address.
func BenchmarkAllowAll(b *testing.B) {
	limit := Limit{Count: 1 << 30, Period: time.Hour}
	for _, callers := range []int{1, 128} {
		b.Run(fmt.Sprint("callers=", 2*callers), func(b *testing.B) {
			l := patient(b, redisServer(b).url)
			var n atomic.Int64
			b.SetParallelism(callers)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				key := fmt.Sprintf("caller %d", n.Add(1))
				for pb.Next() {
					l.AllowAll(context.Background(), Call{Key: key, Limit: limit}, Call{Key: "address", Limit: limit})
				}
			})
			b.ReportMetric(float64(l.Stats().Local), "local")
		})
	}
}
