package app

import (
	"sync"
	"time"
)

// cacheTime is how long cached keeps a value.
const cacheTime = time.Second

// cached keeps the result of a computation for a second. Callers that find none wait for the one
// that computes it. The zero value is empty.
type cached[T any] struct {
	mu    sync.Mutex
	at    time.Time
	value T
}

// get returns the value, which compute has returned less than cacheTime ago.
func (c *cached[T]) get(compute func() T) T {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.at.IsZero() || time.Since(c.at) >= cacheTime {
		c.value = compute()
		c.at = time.Now()
	}
	return c.value
}
