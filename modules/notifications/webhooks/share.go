package webhooks

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// shares bound how many tries one endpoint may have under way on this node, so that
// one that is slow does not take everybody's slots. Who finds no room gets a time at
// which there should be some: with thousands waiting, each comes back once or
// twice, and not all of them every second.
type shares struct {
	mu   sync.Mutex
	most int
	by   map[uuid.UUID]*share
}

type share struct {
	running int
	took    time.Duration // a running mean of how long a try takes
	next    time.Time     // until when places are promised
}

const (
	shortestTry = 10 * time.Millisecond
	longestWait = time.Minute
)

func newShares(most int) *shares { return &shares{most: most, by: map[uuid.UUID]*share{}} }

// enter takes a place, which leave gives back; without one it says when to come again.
func (s *shares) enter(id uuid.UUID) (leave func(), wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	e := s.by[id]
	if e == nil {
		e = &share{took: shortestTry}
		s.by[id] = e
	}
	if e.running >= s.most {
		if e.next.Before(now) {
			e.next = now
		}
		e.next = e.next.Add(e.took / time.Duration(s.most))
		return nil, min(max(e.next.Sub(now), shortestTry), longestWait)
	}
	e.running++
	return func() { s.leave(id, time.Since(now)) }, 0
}

func (s *shares) leave(id uuid.UUID, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.by[id]
	e.running--
	e.took = max((e.took*3+took)/4, shortestTry)
	if e.running == 0 && e.next.Before(time.Now()) {
		delete(s.by, id)
	}
}
