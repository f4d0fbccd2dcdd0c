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

// probeEvery is the interval in which a degraded limiter checks whether Redis is available again.
const probeEvery = time.Second

// Limiter counts the calls of all nodes in Redis, with one atomic script and one round trip per
// call and without holding a lock. After the first call without a response from Redis within 100 ms
// it counts on this node alone. It then neither allows nor rejects everything, and no further call
// waits for Redis. A background probe detects when Redis is available again (SPEC F4).
//
// All policies of a process share one Limiter, and with it the detection of failures.
type Limiter struct {
	conn  goredis.UniversalClient
	redis *redis_rate.Limiter
	local local
	wait  time.Duration // limit of each call of Redis
	start time.Time

	down                    atomic.Bool
	shared, onNode, refused atomic.Uint64

	mu     sync.Mutex // guards closed against a probe that is about to start
	closed bool
	stop   chan struct{}
	probes sync.WaitGroup
}

// NewLimiter returns a limiter on c with the timeout of c. Close it before c.
func NewLimiter(c *Client) *Limiter { return limiterOn(c.UniversalClient, c.timeout) }

func limiterOn(conn goredis.UniversalClient, wait time.Duration) *Limiter {
	return &Limiter{conn: conn, redis: redis_rate.NewLimiter(conn), wait: wait, start: time.Now(), stop: make(chan struct{})}
}

// Close stops the background probe and waits for it. Allow keeps working, and counts locally if
// Redis is unavailable. Further calls of Close do nothing.
func (l *Limiter) Close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.stop)
	}
	l.mu.Unlock()
	l.probes.Wait()
}

// Allow counts one call of key and decides whether it is allowed. It never fails and takes at most
// 100 ms. The key is hashed before it is stored, so it may contain personal data. All keys share
// one namespace: prefix them with the name of the limit. If the limit is off, the call is allowed
// without a round trip to Redis.
func (l *Limiter) Allow(ctx context.Context, key string, limit Limit) Decision {
	if limit.Disabled() {
		return Decision{Allowed: true}
	}

	id := hash(key)
	d, ok := l.allowShared(ctx, id, limit)
	if ok {
		l.shared.Add(1)
	} else {
		d = l.local.allow(time.Since(l.start), id, limit)
		l.onNode.Add(1)
	}
	if !d.Allowed {
		l.refused.Add(1)
	}
	return d
}

// Degraded reports whether this node counts alone at the moment.
func (l *Limiter) Degraded() bool { return l.down.Load() }

// Stats counts the decisions since the start of the process.
type Stats struct {
	Shared  uint64 // made by Redis for all nodes
	Local   uint64 // made on this node while Redis was unavailable
	Refused uint64 // rejections among both
}

// Stats returns the counters. They are not read at one instant.
func (l *Limiter) Stats() Stats {
	return Stats{Shared: l.shared.Load(), Local: l.onNode.Load(), Refused: l.refused.Load()}
}

// allowShared lets Redis decide. It returns false if Redis is, or becomes, unavailable.
func (l *Limiter) allowShared(ctx context.Context, id hashedKey, limit Limit) (Decision, bool) {
	if l.down.Load() {
		return Decision{}, false
	}

	d, err := l.decide(ctx, id, limit)
	if err == nil {
		return d, true
	}
	if ctx.Err() == nil { // otherwise the caller ran out of time, not Redis
		l.trip(err)
	}
	return Decision{}, false
}

func (l *Limiter) decide(ctx context.Context, id hashedKey, limit Limit) (Decision, error) {
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

// trip switches to local counting and starts the probe, once.
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

// probe calls Redis every second until it responds. No caller waits for it.
func (l *Limiter) probe() {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()

	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if l.redisResponds() {
			l.down.Store(false)
			slog.Info("rate limits are shared again: redis answers")
			return
		}
	}
}

// redisResponds makes a real decision, because a Redis that is loading, full or read-only still responds
// to PING. redis_rate panics on an unexpected reply, and nothing else would recover in this
// goroutine.
func (l *Limiter) redisResponds() (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()

	_, err := l.decide(context.Background(), hash("probe"), Limit{Count: 1, Period: time.Second})
	return err == nil
}

// hashedKey is the hashed key for Redis and the local table: half of a SHA-256 sum, so that no client can
// construct colliding keys, as it could with a fast hash.
type hashedKey [16]byte

func hash(key string) hashedKey {
	sum := sha256.Sum256([]byte(key))
	return hashedKey(sum[:16])
}

func (i hashedKey) String() string { return base64.RawURLEncoding.EncodeToString(i[:]) }
