package redis

import (
	"sync"
	"time"
)

const (
	shards   = 16   // locks, so that cores do not queue for one
	capacity = 8192 // keys of one shard; all shards full are about 6 MB
	sweepMin = 512
)

// local is GCRA on one node, with the arithmetic of redis_rate in whole
// nanoseconds: a key's time is when its last call will have been paid for, and a
// call passes if paying for it too stays within the limit's period. The zero
// value is ready.
type local [shards]shard

type shard struct {
	mu    sync.Mutex
	times map[id]time.Duration // since the limiter's start
	sweep int                  // look for paid keys when there are so many
}

// allow decides about one call at now, in constant time on average.
func (l *local) allow(now time.Duration, key id, limit Limit) Decision {
	s := &l[key[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()

	step := limit.step()
	paid := max(s.times[key], now)
	after := paid + step
	d := Decision{Limit: limit, Local: true}
	if wait := after - now - step*time.Duration(limit.Count); wait > 0 {
		d.RetryAfter, d.ResetAfter = wait, paid-now
		return d
	}

	s.put(now, key, after)
	d.Allowed, d.ResetAfter = true, after-now
	d.Remaining = limit.remaining(d.ResetAfter)
	return d
}

// giveBack undoes one call, unless its key has made room for another since.
func (l *local) giveBack(key id, limit Limit) {
	s := &l[key[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, known := s.times[key]; known {
		s.times[key] = at - limit.step()
	}
}

// put keeps the table small: it drops paid keys whenever their number has doubled,
// and one other key for each new one when all slots are taken.
func (s *shard) put(now time.Duration, key id, at time.Duration) {
	if s.times == nil {
		s.times, s.sweep = make(map[id]time.Duration), sweepMin
	}
	if _, known := s.times[key]; !known && len(s.times) >= s.sweep {
		s.drop(now)
	}
	s.times[key] = at
}

func (s *shard) drop(now time.Duration) {
	for k, t := range s.times {
		if t <= now {
			delete(s.times, k)
		}
	}
	if len(s.times) >= capacity {
		s.evict()
	}
	s.sweep = min(capacity, max(sweepMin, 2*len(s.times)))
}

// evict makes a little room at the cost of the least limited among a few keys, so
// that a flood of new keys does not free those that are refused now. A little,
// for a full table must not be walked through for every new key.
func (s *shard) evict() {
	const rooms, sample = capacity / 64, 8
	for range rooms {
		var victim id
		seen := 0
		for k, t := range s.times {
			if seen == 0 || t < s.times[victim] {
				victim = k
			}
			if seen++; seen == sample {
				break
			}
		}
		delete(s.times, victim)
	}
}
