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
	cacheLife  = time.Second // how long prices are used before the version is checked again
	cacheSize  = 10_000      // skus
	cacheReads = 3 * time.Second
)

// cache holds active articles of one version of the catalogue. Unknown, deleted and inactive
// skus are never cached, because the next request may come from the administrator who has just
// corrected them (SPEC F9).
type cache struct {
	read func(ctx context.Context, skus []string) (snapshot, error)
	life time.Duration
	size int

	flights singleflight.Group

	mu       sync.RWMutex
	version  int64
	articles map[string]article
	looked   time.Time // the start of the last check that found version; zero after forget
	epoch    int       // counts calls of forget: a read that began before one must not fill the cache after it
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

// get reads from the cache, or with one query. Once per cacheLife it first checks the version,
// with one query for all concurrent callers.
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
		// The shared read may have begun before this caller's product was created.
		return c.readNow(ctx, skus)
	}
	return s, err
}

// due reports whether the cache has content whose version must be checked.
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

// keep stores the result of a read. Of two versions, the one of the later read is valid;
// comparing numbers would keep a version that a restored backup has undone.
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

// makeRoom evicts an arbitrary sku if the cache is full. An eviction policy is not worthwhile,
// because reading a sku again takes a millisecond.
func (c *cache) makeRoom(sku string) {
	if _, here := c.articles[sku]; here || len(c.articles) < c.size {
		return
	}
	for other := range c.articles {
		delete(c.articles, other)
		return
	}
}

// sells reports whether all of the skus exist and are active.
func (s snapshot) sells(skus []string) bool {
	for _, sku := range skus {
		if !s.articles[sku].active {
			return false
		}
	}
	return true
}
