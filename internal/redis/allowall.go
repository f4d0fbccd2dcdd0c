package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Call is a call to be counted: the key, and the limit that applies to it.
type Call struct {
	Key   string
	Limit Limit
}

// allowAllScript implements the GCRA of redis_rate for several keys. It stops at the first key that
// rejects the call. It returns a zero for each allowed key, and the time to wait for the rejecting
// one.
var allowAllScript = goredis.NewScript(`
local now = redis.call("TIME")
now = (now[1] - 1483228800) + (now[2] / 1000000)
local waits = {}
for i, key in ipairs(KEYS) do
  local step, count = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local paid = math.max(tonumber(redis.call("GET", key) or now), now) + step
  local wait = paid - step * count - now
  if wait > 0 then
    waits[i] = tostring(wait)
    return waits
  end
  redis.call("SET", key, paid, "EX", math.ceil(paid - now))
  waits[i] = "0"
end
return waits`)

// giveBackScript ignores a key that has expired, because a new key would have no expiry.
var giveBackScript = goredis.NewScript(`
for i, key in ipairs(KEYS) do
  local paid = redis.call("GET", key)
  if paid then
    redis.call("SET", key, tonumber(paid) - ARGV[i], "KEEPTTL")
  end
end
return 0`)

// AllowAll counts one call under each of several keys, in their order, up to the first one that
// rejects it; its decision is the last. It costs one round trip, never fails and takes at most 100
// ms. Only Allowed, Limit, RetryAfter and Local of a decision are set. No limit may be off.
func (l *Limiter) AllowAll(ctx context.Context, calls ...Call) []Decision {
	decisions, ok := l.allowAllShared(ctx, calls)
	counted := &l.shared
	if !ok {
		decisions, counted = l.allowAllLocal(calls), &l.onNode
	}
	counted.Add(uint64(len(decisions)))
	if !decisions[len(decisions)-1].Allowed {
		l.refused.Add(1)
	}
	return decisions
}

func (l *Limiter) allowAllShared(ctx context.Context, calls []Call) ([]Decision, bool) {
	if l.down.Load() {
		return nil, false
	}
	within, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()

	keys, args := make([]string, len(calls)), make([]any, 0, 2*len(calls))
	for i, c := range calls {
		keys[i] = keyOf(c)
		args = append(args, c.Limit.step().Seconds(), c.Limit.Count)
	}
	waits, err := allowAllScript.Run(within, l.conn, keys, args...).StringSlice()
	if err == nil && len(waits) == 0 {
		err = fmt.Errorf("no decision about %d calls", len(calls))
	}
	if err != nil {
		if ctx.Err() == nil { // otherwise the caller ran out of time, not Redis
			l.trip(err)
		}
		return nil, false
	}

	decisions := make([]Decision, len(waits))
	for i, wait := range waits {
		seconds, _ := strconv.ParseFloat(wait, 64)
		decisions[i] = Decision{Allowed: seconds == 0, Limit: calls[i].Limit, RetryAfter: time.Duration(seconds * float64(time.Second))}
	}
	return decisions, true
}

func (l *Limiter) allowAllLocal(calls []Call) (decisions []Decision) {
	for _, c := range calls {
		d := l.local.allow(time.Since(l.start), hash(c.Key), c.Limit)
		decisions = append(decisions, d)
		if !d.Allowed {
			break
		}
	}
	return decisions
}

// Cancel undoes calls that were allowed and then found not to count against the limit. The
// argument local is Decision.Local of these calls. Calls that Redis counted stay counted if Redis
// has become unavailable. It costs one round trip, never fails and takes at most 100 ms.
func (l *Limiter) Cancel(ctx context.Context, local bool, calls ...Call) {
	if local {
		for _, c := range calls {
			l.local.giveBack(hash(c.Key), c.Limit)
		}
		return
	}
	if l.down.Load() || len(calls) == 0 {
		return
	}
	within, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	keys, steps := make([]string, len(calls)), make([]any, len(calls))
	for i, c := range calls {
		keys[i], steps[i] = keyOf(c), c.Limit.step().Seconds()
	}
	if err := giveBackScript.Run(within, l.conn, keys, steps...).Err(); err != nil && ctx.Err() == nil {
		l.trip(err)
	}
}

// keyOf returns a key with another prefix than those of redis_rate, which begin with "rate:".
func keyOf(c Call) string { return "calls:" + hash(c.Key).String() }
