package notifications

import (
	"context"
	"errors"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// rewrite is called by the tail when the log no longer has the last delivered event, with the
// position from which it continues. Every subscriber verifies its position before it gets
// further events (SPEC E3); its queued events belong to the previous log.
func (h *hub) rewrite(at events.Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.move(at)
	for _, subscribers := range h.byOwner {
		for f := range subscribers {
			f.doubted = true
			f.queue.restart()
		}
	}
}

// move records the position of the tail. The caller holds mu.
func (h *hub) move(at events.Cursor) {
	h.at = at
	if h.moved != nil {
		close(h.moved)
		h.moved = nil
	}
}

// doubts reports once that f has to verify its position, and gives it an empty queue at the
// position of the tail.
func (h *hub) doubts(f *subscriber) bool {
	h.mu.Lock()
	defer h.mu.Unlock()

	doubted := f.doubted
	if doubted {
		h.requeue(f)
	}
	return doubted
}

// requeue gives f an empty queue, whose frames will follow f.to. The caller holds mu.
func (h *hub) requeue(f *subscriber) {
	f.doubted, f.overrun, f.live = false, false, false
	f.queue.forget()
	f.to = h.at
}

// reach waits until the tail has reached a position. Otherwise a subscriber could be ahead of
// the tail, and the tail would not notice that the log was reset to a point before the
// subscriber's position.
func (h *hub) reach(ctx context.Context, at events.Cursor) error {
	for {
		h.mu.Lock()
		if !h.at.Before(at) {
			h.mu.Unlock()
			return nil
		}
		if h.moved == nil {
			h.moved = make(chan struct{})
		}
		moved := h.moved
		h.mu.Unlock()

		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// verify reports whether the subscriber may continue from its position. It waits until the tail
// has reached the position.
func (f *subscriber) verify(ctx context.Context) error {
	if err := f.log.Verify(ctx, f.at); err != nil || !f.to.Before(f.at) {
		return err
	}
	if err := f.hub.reach(ctx, f.at); err != nil {
		return err
	}
	return f.log.Verify(ctx, f.at) // the tail may have reached it through other events
}

// recheck verifies the position of a subscriber after the log was replaced. If the position is
// still in the log, the subscriber continues from it; otherwise it gets a reset and continues
// from the current end. If only events are gone that were not for this subscriber, it gets a ready frame with the
// position that replaces the one of its last ready frame.
func (f *subscriber) recheck() ([]*frame, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.limits.readWithin)
	defer cancel()

	f.catching = true
	err := f.verify(ctx)
	if errors.Is(err, events.ErrRewritten) && f.at == f.idled {
		f.at = f.shown
		if err = f.verify(ctx); err == nil {
			return []*frame{Control{Type: kindReady, Cursor: f.at.String()}.frame()}, nil
		}
	}
	if err == nil || !errors.Is(err, events.ErrRewritten) {
		return nil, err
	}
	if err := f.restart(ctx); err != nil {
		return nil, err
	}
	return []*frame{Control{Type: kindReset, Cursor: f.at.String()}.frame()}, nil
}

// restart moves the subscriber to the current end of the log: to the position of the tail, or
// past it if the tail has not yet noticed that the log was replaced.
func (f *subscriber) restart(ctx context.Context) (err error) {
	f.at = f.to
	if err = f.log.Verify(ctx, f.at); errors.Is(err, events.ErrRewritten) {
		f.at, err = f.log.Head(ctx)
	}
	return err
}

// replaced is called by a subscriber that notices the replaced log before the tail does.
func (f *subscriber) replaced() ([]*frame, error) {
	f.hub.mu.Lock()
	f.hub.requeue(f)
	f.hub.mu.Unlock()
	return f.recheck()
}
