package notifications

import (
	"sync"
	"time"
)

// queue holds the frames that one subscriber has not received yet. It costs next to nothing while
// the subscriber is idle, and grows to its limit only for one that is behind.
type queue struct {
	wake  func()
	limit int

	mu      sync.Mutex
	list    []*frame
	from    time.Time // since when it has not been empty
	unread  *int64    // only the latest count is kept
	ping    bool
	again   bool // the consumer has to check more than the queue
	awake   bool
	closed  bool
	resting chan struct{} // closed once the consumer has stopped; nil if no goroutine waits
}

// taken is the content of the queue.
type taken struct {
	frames []*frame
	unread *int64
	ping   bool
}

// newQueue returns a queue with a consumer that is already running.
func newQueue(limit int) *queue { return &queue{limit: limit, awake: true} }

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
	q.rouse()
	return true
}

// count queues the number of unread notifications.
func (q *queue) count(unread int64) {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.unread = &unread
	q.rouse()
}

// remind queues a ping.
func (q *queue) remind() {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.ping = true
	q.rouse()
}

func (q *queue) isEmpty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) == 0
}

func (q *queue) rouse() {
	if q.awake || q.closed {
		return
	}
	q.awake = true
	q.wake()
}

// take empties the queue. After false, the consumer must not call it until woken.
func (q *queue) take() (taken, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()

	all, again := taken{q.list, q.unread, q.ping}, q.again
	q.list, q.unread, q.ping, q.again = nil, nil, false, false
	if len(all.frames) == 0 && all.unread == nil && !all.ping && !again {
		q.rest()
		return all, false
	}
	return all, true
}

// drain empties the queue and reports whether it had content. It calls take until that returns
// false, as the contract of wake requires.
func (q *queue) drain() {
	for some := true; some; {
		_, some = q.take()
	}
}

// forget drops the queued events, which are in the log.
func (q *queue) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = nil
}

// restart drops the queued events, and wakes the consumer even when nothing is queued.
func (q *queue) restart() {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.list, q.again = nil, true
	q.rouse()
}

// giveUp is called by the consumer when it stops.
func (q *queue) giveUp() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.rest()
}

func (q *queue) rest() {
	q.awake = false
	if q.resting != nil {
		close(q.resting)
		q.resting = nil
	}
}

// close stops wake-ups and returns a channel that is closed once the consumer has stopped. It
// is called once.
func (q *queue) close() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.closed = true
	done := make(chan struct{})
	if q.awake {
		q.resting = done
	} else {
		close(done)
	}
	return done
}

// waiting returns the minimum time that the oldest frame has been queued.
func (q *queue) waiting() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Since(q.from)
}
