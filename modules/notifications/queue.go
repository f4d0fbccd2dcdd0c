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
	unread  *int64    // only the latest count is of interest
	ping    bool
	again   bool // the consumer has to check more than the queue
	awake   bool
	closed  bool
	resting chan struct{} // closed once nobody takes any more, when somebody asked
}

// taken is what was in the queue.
type taken struct {
	frames []*frame
	unread *int64
	ping   bool
}

// newQueue makes a queue whose taker is already at work.
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

// count has the subscriber told how much is unread in its inbox.
func (q *queue) count(unread int64) {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.unread = &unread
	q.rouse()
}

// remind has the subscriber pinged.
func (q *queue) remind() {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.ping = true
	q.rouse()
}

func (q *queue) rouse() {
	if q.awake || q.closed {
		return
	}
	q.awake = true
	q.wake()
}

// take empties the queue. Who gets false must leave it alone until woken.
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

// drain empties the queue for somebody who only wants to know that there was something.
// It takes until nothing comes, as the contract of wake demands.
func (q *queue) drain() {
	for some := true; some; {
		_, some = q.take()
	}
}

// forget drops the events that wait; they are in the log.
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

// giveUp is what the taker says who will not take any more.
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

// close lets nobody be woken from now on, and returns what is closed once nobody
// takes any more. It is called once.
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

// waiting is how long the oldest frame has been in the queue, at least.
func (q *queue) waiting() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Since(q.from)
}
