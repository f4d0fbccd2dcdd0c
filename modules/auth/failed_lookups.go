package auth

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// failedLookups limits what unknown clients cost. A made-up API key or ticket needs a read of the
// database to be recognised, unlike a forged token, and no rate limit applies yet because the
// caller is not known. Each node therefore allows an address a number of failed look-ups per
// period and then refuses further ones (API4:2023). A key that was valid here recently is looked
// up regardless of its address.
type failedLookups struct {
	limit redis.Limit
	good  *lru.Cache[keyHash, struct{}]

	mu    sync.Mutex
	began time.Time
	of    map[netip.Prefix]int
}

func newFailedLookups(limit redis.Limit) *failedLookups {
	good, err := lru.New[keyHash, struct{}](remembered)
	if err != nil {
		panic(err) // only of a size below one
	}
	return &failedLookups{limit: limit, good: good}
}

// refuse returns a RateLimited fault when the address has used up its failed look-ups.
func (m *failedLookups) refuse(from netip.Addr, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	if m.limit.Disabled() || m.of[clientaddr.Network(from)] < m.limit.Count {
		return nil
	}
	return fault.New(fault.KindRateLimited, "too-many-attempts", "Too many invalid credentials from this address; try again later.").WithRetryAfter(m.began.Add(m.limit.Period).Sub(now))
}

func (m *failedLookups) add(from netip.Addr, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	m.of[clientaddr.Network(from)]++
}

// turn starts a new period.
func (m *failedLookups) turn(now time.Time) {
	if m.of == nil || now.Sub(m.began) >= m.limit.Period {
		m.began, m.of = now, map[netip.Prefix]int{}
	}
}
