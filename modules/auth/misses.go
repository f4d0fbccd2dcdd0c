package auth

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/orderflow-dev/orderflow/platform/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/redis"
)

// misses bounds what strangers cost. Credentials are looked at before any limit is
// counted, since a limit is the caller's; and unlike a forged token a made-up key
// or ticket takes a look into the database to be found out. Each node lets an
// address have so many of those looks in vain, then none (API4:2023). A key that
// was good here lately is looked up all the same, whoever shares its address.
type misses struct {
	limit redis.Limit
	good  *lru.Cache[keyHash, struct{}]

	mu    sync.Mutex
	began time.Time
	of    map[netip.Prefix]int
}

func newMisses(limit redis.Limit) *misses {
	good, err := lru.New[keyHash, struct{}](remembered)
	if err != nil {
		panic(err) // only of a size below one
	}
	return &misses{limit: limit, good: good}
}

// refuse answers a RateLimited fault when there were too many.
func (m *misses) refuse(from netip.Addr, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	if m.limit.Off() || m.of[clientaddr.Network(from)] < m.limit.Count {
		return nil
	}
	e := fault.New(fault.RateLimited, "too-many-attempts", "Too many credentials from here that are not valid; wait a moment.")
	e.RetryAfter = m.began.Add(m.limit.Period).Sub(now)
	return e
}

func (m *misses) add(from netip.Addr, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	m.of[clientaddr.Network(from)]++
}

// turn forgets the period before.
func (m *misses) turn(now time.Time) {
	if m.of == nil || now.Sub(m.began) >= m.limit.Period {
		m.began, m.of = now, map[netip.Prefix]int{}
	}
}
