package web

import (
	"context"
	"errors"
	"time"

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// LargeBodies is the number of large bodies that a process processes at once, unless Options set
// another one.
const LargeBodies = 4

// Both waits together are shorter than the deadline of a route.
const (
	receiveWait = 3 * time.Second
	processWait = 1500 * time.Millisecond
)

// largeBodies limits the cost of routes with a limit above BodyLimit: each caller may send and
// decode one such body at a time, and a few of all callers are processed at once. Processing a body
// takes about seven times its size in memory, so a body above BodyLimit keeps its slot until the
// response is complete; a smaller one only while it is decoded.
type largeBodies struct {
	receiving, processing *bulkhead.Bulkhead[string]
}

func newLargeBodies(atOnce int) *largeBodies {
	const callers, waiting = 1024, 16
	return &largeBodies{
		receiving: bulkhead.New[string](bulkhead.Options{
			Slots: callers, Classes: []bulkhead.Class{{PerKey: 1, Queue: callers, QueuePerKey: waiting}},
		}),
		processing: bulkhead.New[string](bulkhead.Options{Slots: atOnce, Classes: []bulkhead.Class{{Queue: callers, QueuePerKey: 1}}}),
	}
}

// receive waits until the other large bodies of the caller are decoded; meanwhile no byte of this
// one is read. It returns a 429 if that takes too long, and a 503 if too many callers wait.
func (l *largeBodies) receive(ctx context.Context, caller string) (release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, receiveWait)
	defer cancel()
	release, err = l.receiving.Acquire(waiting, 0, caller)
	switch {
	case errors.Is(err, bulkhead.ErrLimit):
		return nil, busy()
	case err != nil:
		return nil, fault.New(fault.KindRateLimited, "too-many-bodies", "Another large request of yours is being read; wait for it.").WithRetryAfter(time.Second)
	}
	return release, nil
}

// process waits for a slot; callers are served in turn. It returns a 503 if that takes too long.
func (l *largeBodies) process(ctx context.Context, caller string) (release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, processWait)
	defer cancel()
	if release, err = l.processing.Acquire(waiting, 0, caller); err != nil {
		return nil, busy()
	}
	return release, nil
}
