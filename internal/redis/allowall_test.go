package redis

import (
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
		wide, narrow := Call{"wide", Limit{Count: 10, Period: 100 * time.Hour}}, Call{"narrow", Limit{Count: 4, Period: 100 * time.Hour}}
		a.AllowAll(t.Context(), Call{"warm the script", wide.Limit})

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
	first, second := Call{"first", Limit{Count: 3, Period: 100 * time.Hour}}, Call{"second", Limit{Count: 3, Period: 100 * time.Hour}}
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
		a.Cancel(t.Context(), local, Call{"a stranger", second.Limit})
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
