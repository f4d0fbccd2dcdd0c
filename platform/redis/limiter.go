package redis

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	goredis "github.com/redis/go-redis/v9"
)

// probeEvery is how often a limiter without Redis looks whether it is back.
const probeEvery = time.Second

// Limiter counts calls for all nodes together in Redis, by one atomic script and
// one round trip per call and without a lock across it. After the first call that
// Redis fails to answer in 100 ms it counts on this node alone: not open, not
// shut, and nobody else waits. A probe in the background finds out when Redis is
// back (SPEC F4).
//
// One Limiter serves every policy of a process, so that they share the breaker.
type Limiter struct {
	conn  goredis.UniversalClient
	redis *redis_rate.Limiter
	local local
	wait  time.Duration // for Redis, in one call
	start time.Time

	down                   atomic.Bool
	shared, alone, refused atomic.Uint64

	mu     sync.Mutex // guards closed against a probe that is about to start
	closed bool
	stop   chan struct{}
	probes sync.WaitGroup
}

// NewLimiter makes a limiter on c, with its bound on every call. Close it before c.
func NewLimiter(c *Client) *Limiter { return limiterOn(c.UniversalClient, c.within) }

func limiterOn(conn goredis.UniversalClient, wait time.Duration) *Limiter {
	return &Limiter{conn: conn, redis: redis_rate.NewLimiter(conn), wait: wait, start: time.Now(), stop: make(chan struct{})}
}

// Close ends the background probe and waits for it. Allow keeps working, locally
// if Redis is away.
func (l *Limiter) Close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.stop)
	}
	l.mu.Unlock()
	l.probes.Wait()
}

// Allow counts one call under key and decides about it. It never fails and takes
// 100 ms at most. The key is hashed before it is kept anywhere, so it may name a
// person; prefix it with what is being limited, for all keys share one space.
// A limit that is off allows without asking Redis.
func (l *Limiter) Allow(ctx context.Context, key string, limit Limit) Decision {
	if limit.Off() {
		return Decision{Allowed: true}
	}

	id := hash(key)
	d, ok := l.ask(ctx, id, limit)
	if ok {
		l.shared.Add(1)
	} else {
		d = l.local.allow(time.Since(l.start), id, limit)
		l.alone.Add(1)
	}
	if !d.Allowed {
		l.refused.Add(1)
	}
	return d
}

// Degraded tells whether this node counts alone at the moment.
func (l *Limiter) Degraded() bool { return l.down.Load() }

// Stats counts decisions since the start of the process.
type Stats struct {
	Shared  uint64 // made by Redis for all nodes
	Local   uint64 // made on this node while Redis was away
	Refused uint64 // of both, those that said no
}

// Stats may be read at any time; its numbers are not of one instant.
func (l *Limiter) Stats() Stats {
	return Stats{Shared: l.shared.Load(), Local: l.alone.Load(), Refused: l.refused.Load()}
}

// ask lets Redis decide, unless it is known to be away.
func (l *Limiter) ask(ctx context.Context, id id, limit Limit) (Decision, bool) {
	if l.down.Load() {
		return Decision{}, false
	}

	d, err := l.decide(ctx, id, limit)
	if err == nil {
		return d, true
	}
	if ctx.Err() == nil { // else the caller was out of time, not Redis
		l.trip(err)
	}
	return Decision{}, false
}

func (l *Limiter) decide(ctx context.Context, id id, limit Limit) (Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()

	res, err := l.redis.Allow(ctx, id.String(), redis_rate.Limit{Rate: limit.Count, Burst: limit.Count, Period: limit.Period})
	if err != nil {
		return Decision{}, fmt.Errorf("ask redis for a decision: %w", err)
	}
	d := Decision{Allowed: res.Allowed > 0, Limit: limit, ResetAfter: res.ResetAfter}
	if d.Allowed {
		d.Remaining = limit.remaining(d.ResetAfter)
	} else {
		d.RetryAfter = res.RetryAfter
	}
	return d, nil
}

// trip switches to local counting and starts the one probe.
func (l *Limiter) trip(err error) {
	if !l.down.CompareAndSwap(false, true) {
		return
	}
	slog.Warn("rate limits are counted per node: redis does not answer", "err", reason(err))

	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.probes.Go(l.probe)
	}
}

// probe asks Redis every second until it answers. No caller waits for it.
func (l *Limiter) probe() {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()

	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if l.answers() {
			l.down.Store(false)
			slog.Info("rate limits are shared again: redis answers")
			return
		}
	}
}

// answers makes a real decision, since a Redis that is loading, full or read-only
// would still answer a PING. redis_rate panics on a reply it does not expect, and
// here nobody else would recover.
func (l *Limiter) answers() (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()

	_, err := l.decide(context.Background(), hash("probe"), Limit{Count: 1, Period: time.Second})
	return err == nil
}

// id is a key as Redis and the local table see it. Half of a SHA-256: long enough
// that nobody can make two keys meet, which a fast hash would not promise.
type id [16]byte

func hash(key string) id {
	sum := sha256.Sum256([]byte(key))
	return id(sum[:16])
}

func (i id) String() string { return base64.RawURLEncoding.EncodeToString(i[:]) }
