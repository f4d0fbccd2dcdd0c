package inventory

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	cacheLife  = time.Second // how long prices are trusted without a look at the version
	cacheSize  = 10_000      // skus
	cacheReads = 3 * time.Second
)

// cache remembers active articles, all of one version of the catalogue. What is
// unknown, deleted or inactive is never remembered: the next caller may be the
// admin who has just put it right (SPEC F9).
type cache struct {
	read func(ctx context.Context, skus []string) (snapshot, error)
	life time.Duration
	size int

	flights singleflight.Group

	mu       sync.RWMutex
	version  int64
	articles map[string]article
	looked   time.Time // when the look began that last found version; zero after forget
	epoch    int       // counts forgets: a read that began before one confirms nothing after it
}

func newCache(read func(context.Context, []string) (snapshot, error)) *cache {
	return &cache{read: read, life: cacheLife, size: cacheSize, articles: map[string]article{}}
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = time.Time{}
	c.epoch++
}

// get answers from memory, or with one query; once in a life it first asks for
// the version, which all callers at that moment share.
func (c *cache) get(ctx context.Context, skus []string) (snapshot, error) {
	if c.due() {
		if _, _, err := c.share(ctx, nil); err != nil {
			return snapshot{}, err
		}
	}
	if s, ok := c.remembered(skus); ok {
		return s, nil
	}

	s, shared, err := c.share(ctx, skus)
	if err == nil && shared && !s.sells(skus) {
		// The shared read may have begun before this caller's product was there.
		return c.readNow(ctx, skus)
	}
	return s, err
}

// due is true when there is something to trust again after a look.
func (c *cache) due() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.articles) > 0 && time.Since(c.looked) >= c.life
}

func (c *cache) remembered(skus []string) (snapshot, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if time.Since(c.looked) >= c.life {
		return snapshot{}, false
	}

	s := snapshot{c.version, make(map[string]article, len(skus))}
	for _, sku := range skus {
		a, ok := c.articles[sku]
		if !ok {
			return snapshot{}, false
		}
		s.articles[sku] = a
	}
	return s, true
}

// share joins a read of the same skus that began since the last forget, or
// begins one. It outlives the caller that began it, since others wait for it.
func (c *cache) share(ctx context.Context, skus []string) (snapshot, bool, error) {
	c.mu.RLock()
	epoch := c.epoch
	c.mu.RUnlock()

	key := strconv.Itoa(epoch) + " " + strings.Join(slices.Sorted(slices.Values(skus)), " ")
	v, err, shared := c.flights.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cacheReads)
		defer cancel()
		return c.readNow(ctx, skus)
	})
	if err != nil {
		return snapshot{}, shared, err
	}
	return v.(snapshot), shared, nil
}

func (c *cache) readNow(ctx context.Context, skus []string) (snapshot, error) {
	c.mu.RLock()
	epoch, began := c.epoch, time.Now()
	c.mu.RUnlock()

	s, err := c.read(ctx, skus)
	if err == nil {
		c.keep(s, epoch, began)
	}
	return s, err
}

// keep takes in what a read found. Of two versions the read that began later is
// right; comparing numbers would hold on to one that a restored backup undid.
func (c *cache) keep(s snapshot, epoch int, began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()

	confirms := epoch == c.epoch && began.After(c.looked)
	switch {
	case s.version == c.version:
	case confirms:
		c.version = s.version
		clear(c.articles)
	default:
		return
	}
	if confirms {
		c.looked = began
	}
	for sku, a := range s.articles {
		if a.active {
			c.makeRoom(sku)
			c.articles[sku] = a
		}
	}
}

// makeRoom lets go of any one other sku when there is no room: which one hardly
// matters for something that is read again within a millisecond.
func (c *cache) makeRoom(sku string) {
	if _, here := c.articles[sku]; here || len(c.articles) < c.size {
		return
	}
	for other := range c.articles {
		delete(c.articles, other)
		return
	}
}

// sells tells whether all of the skus are there and active.
func (s snapshot) sells(skus []string) bool {
	for _, sku := range skus {
		if !s.articles[sku].active {
			return false
		}
	}
	return true
}
