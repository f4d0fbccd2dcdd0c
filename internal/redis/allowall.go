package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Call is a call to be counted: the key, the limit that applies to it, and its cost.
type Call struct {
	Key   string
	Limit Limit
	// Cost is the number of calls that this one counts as; 1 when zero. A call with a cost above
	// Limit.Count is always rejected, and its RetryAfter has no meaning.
	Cost int
}

// price is the cost of the call as a time.
func (c Call) price() time.Duration { return c.Limit.step() * time.Duration(max(1, c.Cost)) }

// allowAllScript implements the GCRA of redis_rate for several keys. It stops at the first key that
// rejects the call. It returns two times for each key that it decided about: how long to wait, which
// is zero for an allowed call, and how long until all calls are available again.
var allowAllScript = goredis.NewScript(`
local now = redis.call("TIME")
now = (now[1] - 1483228800) + (now[2] / 1000000)
local times = {}
for i, key in ipairs(KEYS) do
  local price, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local before = math.max(tonumber(redis.call("GET", key) or now), now)
  local paid = before + price
  local wait = paid - period - now
  if wait > 0 then
    times[2 * i - 1], times[2 * i] = tostring(wait), tostring(before - now)
    return times
  end
  redis.call("SET", key, paid, "EX", math.ceil(paid - now))
  times[2 * i - 1], times[2 * i] = "0", tostring(paid - now)
end
return times`)

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
// ms. No limit may be off.
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
		args = append(args, c.price().Seconds(), c.Limit.step().Seconds()*float64(c.Limit.Count))
	}
	times, err := allowAllScript.Run(within, l.conn, keys, args...).StringSlice()
	if err == nil && len(times) < 2 {
		err = fmt.Errorf("no decision about %d calls", len(calls))
	}
	if err != nil {
		if ctx.Err() == nil { // otherwise the caller ran out of time, not Redis
			l.trip(err)
		}
		return nil, false
	}

	decisions := make([]Decision, len(times)/2)
	for i := range decisions {
		wait, reset := duration(times[2*i]), duration(times[2*i+1])
		d := Decision{Allowed: wait == 0, Limit: calls[i].Limit, RetryAfter: wait, ResetAfter: reset}
		if d.Allowed || calls[i].Cost > 1 { // fewer calls than this one costs may be left
			d.Remaining = d.Limit.remaining(reset)
		}
		decisions[i] = d
	}
	return decisions, true
}

// duration parses a number of seconds. Times below a nanosecond are rounding errors of Redis.
func duration(seconds string) time.Duration {
	s, _ := strconv.ParseFloat(seconds, 64)
	return time.Duration(s * float64(time.Second))
}

func (l *Limiter) allowAllLocal(calls []Call) (decisions []Decision) {
	for _, c := range calls {
		d := l.local.charge(time.Since(l.start), hash(c.Key), c.Limit, c.price())
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
			l.local.giveBack(hash(c.Key), c.price())
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
		keys[i], steps[i] = keyOf(c), c.price().Seconds()
	}
	if err := giveBackScript.Run(within, l.conn, keys, steps...).Err(); err != nil && ctx.Err() == nil {
		l.trip(err)
	}
}

// keyOf returns a key with another prefix than those of redis_rate, which begin with "rate:".
func keyOf(c Call) string { return keyPrefix + hash(c.Key).String() }

const keyPrefix = "calls:"
