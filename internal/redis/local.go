package redis

import (
	"sync"
	"time"
)

const (
	shards   = 16   // locks, to reduce contention between cores
	capacity = 8192 // keys of one shard; all shards together take about 6 MB when full
	sweepMin = 512
)

// local is GCRA on one node, with the arithmetic of redis_rate in whole nanoseconds. The time of a
// key is the moment at which its last call is paid off. A call is allowed if the time stays within
// the period of the limit after adding its cost. The zero value is ready to use.
type local [shards]shard

type shard struct {
	mu    sync.Mutex
	times map[hashedKey]time.Duration // since the start of the limiter
	sweep int                         // number of keys at which expired ones are dropped
}

// allow decides about a call of cost one at now.
func (l *local) allow(now time.Duration, key hashedKey, limit Limit) Decision {
	return l.charge(now, key, limit, limit.step())
}

// charge decides about one call at now, in amortized constant time. price is its cost as a time.
func (l *local) charge(now time.Duration, key hashedKey, limit Limit, price time.Duration) Decision {
	s := &l[key[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()

	step := limit.step()
	paid := max(s.times[key], now)
	after := paid + price
	d := Decision{Limit: limit, Local: true}
	if wait := after - now - step*time.Duration(limit.Count); wait > 0 {
		d.RetryAfter, d.ResetAfter = wait, paid-now
		if price > step { // fewer calls than this one costs may be left
			d.Remaining = limit.remaining(d.ResetAfter)
		}
		return d
	}

	s.put(now, key, after)
	d.Allowed, d.ResetAfter = true, after-now
	d.Remaining = limit.remaining(d.ResetAfter)
	return d
}

// giveBack undoes one call of that price, unless its key has been evicted since.
func (l *local) giveBack(key hashedKey, price time.Duration) {
	s := &l[key[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, known := s.times[key]; known {
		s.times[key] = at - price
	}
}

// put keeps the table small: it drops expired keys whenever the number of keys has doubled, and
// evicts other keys when the table is full.
func (s *shard) put(now time.Duration, key hashedKey, at time.Duration) {
	if s.times == nil {
		s.times, s.sweep = make(map[hashedKey]time.Duration), sweepMin
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

// evict removes a few keys: of each small sample the one with the most calls left, so that a flood
// of new keys does not reset the keys that are rejected now. It removes several at once, because
// searching a full table for every new key is too expensive.
func (s *shard) evict() {
	const rooms, sample = capacity / 64, 8
	for range rooms {
		var victim hashedKey
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
