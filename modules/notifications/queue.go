package notifications

import (
	"sync"
	"time"
)

// queue holds what one socket has still to write. It costs next to nothing while
// the socket is idle, and grows to its limit only for a reader that is behind.
type queue struct {
	bell  chan struct{} // rings when something was put
	limit int

	mu   sync.Mutex
	list []*frame
	from time.Time // since when it has not been empty
}

func newQueue(limit int) *queue { return &queue{bell: make(chan struct{}, 1), limit: limit} }

// put is false when the queue is full.
func (q *queue) put(f *frame) bool {
	q.mu.Lock()
	defer q.mu.Unlock()

	if len(q.list) >= q.limit {
		return false
	}
	if len(q.list) == 0 {
		q.from = time.Now()
	}
	q.list = append(q.list, f)
	select {
	case q.bell <- struct{}{}:
	default:
	}
	return true
}

// take empties the queue.
func (q *queue) take() []*frame {
	q.mu.Lock()
	defer q.mu.Unlock()

	list := q.list
	q.list = nil
	return list
}

// waiting is how long the oldest frame has been in the queue, at least.
func (q *queue) waiting() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Since(q.from)
}
