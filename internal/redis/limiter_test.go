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

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

func TestLimitIsExactAcrossNodes_F4(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		a, b := patient(t, s.url), patient(t, s.url)
		limit := Limit{Count: 100, Period: time.Hour}

		allowed := race(40, 10, func(n int) bool {
			node := []*Limiter{a, b}[n%2]
			return node.Allow(t.Context(), "caller", limit).Allowed
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
		near := since(time.Now())
		limit := Limit{Count: 4, Period: 4 * time.Hour}
		ask := func() Decision { return l.Allow(t.Context(), "caller", limit) }

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
			l.Allow(t.Context(), "caller", limit)
		}

		if trips := p.asked.Load() - before; trips != 10 {
			t.Errorf("10 decisions took %d round trips", trips)
		}
	})
}

func TestKeysContainNoNames(t *testing.T) {
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
	l := patient(t, "redis://127.0.0.1:1")

	for _, off := range []Limit{{}, {Count: -1, Period: time.Second}, {Count: 5}} {
		if d := l.Allow(t.Context(), "caller", off); !d.Allowed {
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
		a, b := patient(t, s.url), patient(t, s.url)
		limit := Limit{Count: 20, Period: 20 * time.Hour}
		if a.Allow(t.Context(), "caller", limit).Local {
			t.Fatal("counted locally with Redis up")
		}

		s.stop()
		for _, node := range []*Limiter{a, b} {
			allowed := race(20, 5, func(int) bool { return node.Allow(t.Context(), "caller", limit).Allowed })
			if allowed != 20 {
				t.Errorf("a node alone let %d of 100 calls pass, want 20", allowed)
			}
			if !node.Degraded() || node.Stats().Local == 0 {
				t.Error("Redis is down and the limiter does not say so")
			}
		}

		s.start()
		tries := 0
		testwait.Until(t, "one limit for both nodes again", func() bool {
			tries++
			key := fmt.Sprintf("caller after the restart %d", tries)
			one, two := a.Allow(t.Context(), key, limit), b.Allow(t.Context(), key, limit)
			return !one.Local && !two.Local && one.Remaining == 19 && two.Remaining == 18
		})
		if a.Degraded() || b.Degraded() {
			t.Error("Redis is back and the limiter does not say so")
		}
	})
}

// A Redis that accepts everything and answers nothing costs no call more than the bound
// of one.
func TestRedisHangs_F4(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		p := slow(t, s)
		l := newLimiter(t, within(t, p.url, 2*time.Second)) // long enough for it to be back on a slow machine
		limit := Limit{Count: 30, Period: 30 * time.Hour}
		l.Allow(t.Context(), "warm", limit)

		p.Lock()
		allowed := race(50, 2, func(int) bool { return l.Allow(t.Context(), "caller", limit).Allowed })
		if allowed != 30 || !l.Degraded() {
			t.Errorf("%d of 100 calls passed, want 30; degraded: %v", allowed, l.Degraded())
		}

		p.Unlock()
		testwait.Until(t, "shared again", func() bool { return !l.Allow(t.Context(), "another caller", limit).Local })
	})
}

// No caller waits for another one, none longer than 100 ms, and none at all once Redis is
// known to be away.
func TestWhatACallWaitsFor_F4(t *testing.T) {
	t.Parallel()
	const callers = 50
	c := open(t, inProcess(t).url)
	entered, leave := make(chan time.Duration, 1000), make(chan struct{})
	c.AddHook(hook(func(ctx context.Context, _ goredis.Cmder) error {
		deadline, _ := ctx.Deadline()
		entered <- time.Until(deadline)
		<-leave
		return context.DeadlineExceeded
	}))
	l := newLimiter(t, c)
	l.Close() // no probe, which would ask too
	limit := Limit{Count: 30, Period: 30 * time.Hour}

	passed := make(chan int, 1)
	go func() {
		passed <- race(callers, 1, func(int) bool { return l.Allow(t.Context(), "caller", limit).Allowed })
	}()
	for range callers { // all at once: none has been answered yet
		if left := testwait.For(t, "a caller to ask", entered); left > 100*time.Millisecond {
			t.Errorf("a caller waits %s for Redis", left)
		}
	}
	close(leave)
	if n := testwait.For(t, "the decisions", passed); n != 30 {
		t.Errorf("%d of %d calls passed, want 30", n, callers)
	}

	for range 100 {
		l.Allow(t.Context(), "caller", limit)
		l.AllowAll(t.Context(), Call{Key: "caller", Limit: limit})
		l.Cancel(t.Context(), false, Call{Key: "caller", Limit: limit})
	}
	if n := len(entered); n != 0 {
		t.Errorf("with Redis known to be away, it was asked %d times", n)
	}
}

// AllowAll and Cancel have the same bound.
func TestBoundOfSeveralKeys_F4(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*Limiter, Call){
		"all":  func(l *Limiter, c Call) { l.AllowAll(t.Context(), c) },
		"back": func(l *Limiter, c Call) { l.Cancel(t.Context(), false, c) },
	} {
		c := open(t, inProcess(t).url)
		left := make(chan time.Duration, 10)
		c.AddHook(hook(func(ctx context.Context, _ goredis.Cmder) error {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return context.DeadlineExceeded
		}))

		call(newLimiter(t, c), Call{Key: "caller", Limit: Limit{Count: 1, Period: time.Hour}})

		if got := testwait.For(t, name, left); got > 100*time.Millisecond {
			t.Errorf("%s waits %s for Redis", name, got)
		}
	}
}

func TestACallerOutOfTimeDoesNotBlameRedis(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		l := patient(t, s.url)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()

		d := l.Allow(ctx, "caller", Limit{Count: 1, Period: time.Hour})

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
	l := newLimiter(t, c)

	if l.redisResponds() {
		t.Error("took an odd reply for an answer")
	}
}

func TestCloseEndsTheProbe(t *testing.T) {
	t.Parallel()
	l := NewLimiter(patiently(t, "redis://127.0.0.1:1"))
	limit := Limit{Count: 1, Period: time.Hour}
	l.Allow(t.Context(), "caller", limit)

	l.Close()
	l.Close()

	if d := l.Allow(t.Context(), "caller", limit); d.Allowed || !d.Local {
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

	c := open(t, "redis://127.0.0.1:1/3?dial_timeout=9s&read_timeout=9s&write_timeout=9s&max_retries=7&pool_timeout=9s")
	if c.Publish(t.Context(), "unused", "") == nil {
		t.Error("published without Redis")
	}
	if _, err := c.Storage().Get("x"); err == nil {
		t.Error("read without Redis")
	}

	// Fiber's storage has no context: only the client's own timings bound it.
	o := c.UniversalClient.(*goredis.Client).Options()
	for name, bound := range map[string]time.Duration{
		"dial": o.DialTimeout, "read": o.ReadTimeout, "write": o.WriteTimeout, "pool": o.PoolTimeout,
	} {
		if bound != 100*time.Millisecond {
			t.Errorf("%s takes up to %s", name, bound)
		}
	}
	if o.DB != 3 || o.MaxRetries != 0 || o.DialerRetries != 1 || !o.ContextTimeoutEnabled {
		t.Errorf("options are %+v", o)
	}
}

// They do so for a Redis that hangs: this test ends.
func TestStorageIsBoundedToo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		p := slow(t, s)
		storage := open(t, p.url).Storage()
		p.Lock()
		defer p.Unlock()

		if _, err := storage.Get("x"); err == nil {
			t.Error("waited for a Redis that hangs")
		}
	})
}

func BenchmarkAllow(b *testing.B) {
	limit := Limit{Count: 1 << 30, Period: time.Hour}
	run := func(url string, callers int) func(*testing.B) {
		return func(b *testing.B) {
			l := newLimiter(b, open(b, url))
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

// since makes a comparison of times that Redis answered: it counts down, by its own clock,
// since begun at the earliest.
func since(begun time.Time) func(t *testing.T, got, want time.Duration) {
	return func(t *testing.T, got, want time.Duration) {
		t.Helper()
		if passed := time.Since(begun) + time.Second; got > want+time.Second || got < want-passed {
			t.Errorf("got %s, want %s, or as much less as the %s since then", got, want, passed)
		}
	}
}
