package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// bearable is the most that the limiter may add to a request (SPEC F4).
const bearable = 150 * time.Millisecond

func TestLimitIsExactAcrossNodes_F4(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		a, b := patient(t, s.url), patient(t, s.url)
		limit := Limit{Count: 100, Period: time.Hour}

		allowed := race(40, 10, func(n int) bool {
			node := []*Limiter{a, b}[n%2]
			return node.Allow(t.Context(), "somebody", limit).Allowed
		})

		if allowed != 100 {
			t.Errorf("%d of 400 calls passed, want 100", allowed)
		}
		if a.Degraded() || b.Degraded() {
			t.Error("counted locally with Redis up")
		}
		got := Stats{Shared: a.Stats().Shared + b.Stats().Shared, Refused: a.Stats().Refused + b.Stats().Refused}
		if want := (Stats{Shared: 400, Refused: 300}); got != want {
			t.Errorf("stats are %+v, want %+v", got, want)
		}
	})
}

func TestLimitRefills(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		l := patient(t, s.url)
		limit := Limit{Count: 4, Period: 4 * time.Hour}
		ask := func() Decision { return l.Allow(t.Context(), "somebody", limit) }

		for left := 3; left >= 0; left-- {
			d := ask()
			if !d.Allowed || d.Remaining != left || d.RetryAfter != 0 {
				t.Errorf("with %d to be left: %+v", left, d)
			}
			near(t, d.ResetAfter, time.Duration(4-left)*time.Hour)
		}
		d := ask()
		if d.Allowed || d.Remaining != 0 {
			t.Errorf("a fifth call: %+v", d)
		}
		near(t, d.RetryAfter, time.Hour)
		near(t, d.ResetAfter, 4*time.Hour)

		s.pass(time.Hour + time.Second)
		if d := ask(); !d.Allowed {
			t.Errorf("after the time for one call: %+v", d)
		}
		if d := ask(); d.Allowed {
			t.Errorf("after the time for one call, a second one: %+v", d)
		}

		s.pass(5 * time.Hour)
		if d := ask(); !d.Allowed || d.Remaining != 3 {
			t.Errorf("after the whole period: %+v", d)
		}
	})
}

func TestOneDecisionIsOneRoundTrip_F4(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		p := slow(t, s)
		l := patient(t, p.url)
		limit := Limit{Count: 100, Period: time.Hour}
		l.Allow(t.Context(), "warm the connection and the script", limit)

		before := p.asked.Load()
		for range 10 {
			l.Allow(t.Context(), "somebody", limit)
		}

		if trips := p.asked.Load() - before; trips != 10 {
			t.Errorf("10 decisions took %d round trips", trips)
		}
	})
}

func TestKeysNameNobody(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		l, c := patient(t, s.url), open(t, s.url)

		l.Allow(t.Context(), "login:mallory@example.com", Limit{Count: 10, Period: time.Minute})

		keys, err := c.Keys(t.Context(), "*").Result()
		must(t, err)
		if len(keys) != 1 || strings.Contains(keys[0], "mallory") || len(keys[0]) > 32 {
			t.Errorf("keys in Redis: %q", keys)
		}
		ttl, err := c.TTL(t.Context(), keys[0]).Result()
		must(t, err)
		if ttl <= 0 || ttl > time.Minute {
			t.Errorf("the key lives for %s", ttl)
		}
	})
}

func TestLimitOffNeverAsks(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, "redis://127.0.0.1:1")

	for _, off := range []Limit{{}, {Count: -1, Period: time.Second}, {Count: 5}} {
		if d := l.Allow(t.Context(), "somebody", off); !d.Allowed {
			t.Errorf("%+v refused", off)
		}
	}
	if l.Degraded() {
		t.Error("a limit that is off asked Redis")
	}
}

func TestRedisStopped_F4(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		a, b := newLimiter(t, s.url), newLimiter(t, s.url)
		limit := Limit{Count: 20, Period: time.Hour}
		ask := func(l *Limiter) Decision {
			return swift(t, func() Decision { return l.Allow(t.Context(), "somebody", limit) })
		}
		if d := ask(a); d.Local {
			t.Fatal("counted locally with Redis up")
		}

		s.stop()
		for _, node := range []*Limiter{a, b} {
			allowed := race(20, 5, func(int) bool { return ask(node).Allowed })
			if allowed != 20 {
				t.Errorf("a node alone let %d of 100 calls pass, want 20", allowed)
			}
			if !node.Degraded() || node.Stats().Local == 0 {
				t.Error("Redis is down and the limiter does not say so")
			}
		}

		s.start()
		tries := 0
		eventually(t, "one limit for both nodes again", func() bool {
			tries++
			key := fmt.Sprintf("somebody after the restart %d", tries)
			one, two := a.Allow(t.Context(), key, limit), b.Allow(t.Context(), key, limit)
			return !one.Local && !two.Local && one.Remaining == 19 && two.Remaining == 18
		})
		if a.Degraded() || b.Degraded() {
			t.Error("Redis is back and the limiter does not say so")
		}
	})
}

func TestRedisSlow_F4(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		p := slow(t, s)
		l := newLimiter(t, p.url)
		limit := Limit{Count: 30, Period: time.Hour}
		ask := func(int) bool {
			return swift(t, func() Decision { return l.Allow(t.Context(), "somebody", limit) }).Allowed
		}
		l.Allow(t.Context(), "warm", limit)

		p.delay.Store(int64(500 * time.Millisecond))
		begun := time.Now()
		allowed := race(50, 1, ask)
		if allowed != 30 {
			t.Errorf("%d of 50 calls passed, want 30", allowed)
		}
		if took := time.Since(begun); took > 10*bearable {
			t.Errorf("50 calls at once took %s: one waits for the other", took)
		}

		begun = time.Now()
		for range 100 {
			ask(0)
		}
		if took := time.Since(begun); took > bearable {
			t.Errorf("with Redis known to be slow, 100 calls took %s", took)
		}

		p.delay.Store(0)
		eventually(t, "shared again", func() bool {
			return !l.Allow(t.Context(), "somebody else", limit).Local
		})
	})
}

func TestACallerOutOfTimeDoesNotBlameRedis(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		l := patient(t, s.url)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()

		d := l.Allow(ctx, "somebody", Limit{Count: 1, Period: time.Hour})

		if !d.Allowed || !d.Local {
			t.Errorf("decided %+v", d)
		}
		if l.Degraded() {
			t.Error("one caller's deadline switched the limit for all")
		}
	})
}

// redis_rate asserts types on the reply; a panic in the probe would end the process.
func TestProbeSurvivesAnOddReply(t *testing.T) {
	t.Parallel()
	c := open(t, inProcess(t).url)
	c.AddHook(hook(func(_ context.Context, cmd goredis.Cmder) error {
		cmd.(*goredis.Cmd).SetVal("odd")
		return nil
	}))
	l := NewLimiter(c.UniversalClient)
	t.Cleanup(l.Close)

	if l.answers() {
		t.Error("took an odd reply for an answer")
	}
}

func TestCloseEndsTheProbe(t *testing.T) {
	t.Parallel()
	l := NewLimiter(open(t, "redis://127.0.0.1:1").UniversalClient)
	limit := Limit{Count: 1, Period: time.Hour}
	l.Allow(t.Context(), "somebody", limit)

	l.Close()
	l.Close()

	if d := l.Allow(t.Context(), "somebody", limit); d.Allowed || !d.Local {
		t.Errorf("after Close: %+v", d)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "127.0.0.1:6379", "http://127.0.0.1", "redis://:hunter2@[::1", "redis://h/0?nonsense=hunter2"} {
		c, err := Open(url)
		if err == nil || c != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q) = %v, %v", url, c, err)
		}
	}

	c := open(t, "redis://127.0.0.1:1/3?dial_timeout=9s&read_timeout=9s&max_retries=7&pool_timeout=9s")
	swift(t, func() Decision {
		if c.Publish(t.Context(), "nobody", "") == nil {
			t.Error("published without Redis")
		}
		if _, err := c.Storage().Get("x"); err == nil {
			t.Error("read without Redis")
		}
		return Decision{}
	})
}

// Fiber's storage has no context: only the client's own timings bound it.
func TestStorageIsBoundedToo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		p := slow(t, s)
		storage := open(t, p.url+"?read_timeout=9s").Storage()
		must(t, storage.Set("x", []byte("1"), time.Minute))
		p.delay.Store(int64(500 * time.Millisecond))

		swift(t, func() Decision {
			if _, err := storage.Get("x"); err == nil {
				t.Error("waited for a slow Redis")
			}
			return Decision{}
		})
	})
}

func BenchmarkAllow(b *testing.B) {
	limit := Limit{Count: 1 << 30, Period: time.Hour}
	run := func(url string, callers int) func(*testing.B) {
		return func(b *testing.B) {
			l := newLimiter(b, url)
			var n atomic.Int64
			b.SetParallelism(callers)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				key := fmt.Sprintf("caller %d", n.Add(1))
				for pb.Next() {
					l.Allow(context.Background(), key, limit)
				}
			})
			b.ReportMetric(float64(l.Stats().Local), "local")
		}
	}
	b.Run("shared/callers=2", run(redisServer(b).url, 1))
	b.Run("shared/callers=256", run(redisServer(b).url, 128))
	b.Run("local/callers=256", run("redis://127.0.0.1:1", 128))
}

// race lets callers call times each, all starting together, and counts the yeses.
func race(callers, times int, call func(n int) bool) (yes int) {
	var all sync.WaitGroup
	var count atomic.Int64
	begin := make(chan struct{})
	for n := range callers {
		all.Go(func() {
			<-begin
			for range times {
				if call(n) {
					count.Add(1)
				}
			}
		})
	}
	close(begin)
	all.Wait()
	return int(count.Load())
}

// swift fails the test when call takes longer than a request can bear. A timer set
// at the same moment tells by how much the machine itself is late, which is not
// the limiter's doing.
func swift(t *testing.T, call func() Decision) Decision {
	t.Helper()
	begun, late := time.Now(), make(chan time.Duration, 1)
	timer := time.AfterFunc(timeout, func() { late <- time.Since(begun) - timeout })
	defer timer.Stop()

	d := call()
	took := time.Since(begun)
	if took > bearable {
		took -= receive(t, "a timer", late)
	}
	if took > bearable {
		t.Errorf("added %s to a request", took)
	}
	return d
}

func near(t *testing.T, got, want time.Duration) {
	t.Helper()
	if diff := (got - want).Abs(); diff > 5*time.Second {
		t.Errorf("got %s, want about %s", got, want)
	}
}
