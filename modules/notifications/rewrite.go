package notifications

import (
	"context"
	"errors"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// rewrite is called by the tail when the log does not have what was delivered last, and
// tells where it goes on. Every subscriber verifies its own position before it gets
// anything else (SPEC E3); what waits in its queue is of the log of before.
func (h *hub) rewrite(at events.Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.move(at)
	for _, room := range h.rooms {
		for f := range room {
			f.doubted = true
			f.queue.restart()
		}
	}
}

// move notes the position of the tail. The caller holds mu.
func (h *hub) move(at events.Cursor) {
	h.at = at
	if h.moved != nil {
		close(h.moved)
		h.moved = nil
	}
}

// doubts tells, once, that f has to verify its position, and then begins a new queue for
// it at the position of the tail.
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

// reach waits until the tail has come to a position that the log has. Otherwise a
// subscriber would be ahead of the tail, which then could not see that the log goes
// back behind that subscriber.
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

// verify tells whether the subscriber may go on from its position. It does not return
// before the tail is there too.
func (f *subscriber) verify(ctx context.Context) error {
	if err := f.log.Verify(ctx, f.at); err != nil || !f.to.Before(f.at) {
		return err
	}
	if err := f.hub.reach(ctx, f.at); err != nil {
		return err
	}
	return f.log.Verify(ctx, f.at) // the tail may have come there by other events
}

// recheck verifies the position of a subscriber after the log was replaced. One whose
// position is still in the log goes on from there; any other gets a reset and goes on
// from the present end.
func (f *subscriber) recheck() ([]*frame, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.limits.readWithin)
	defer cancel()

	f.catching = true
	err := f.verify(ctx)
	if err == nil || !errors.Is(err, events.ErrRewritten) {
		return nil, err
	}
	if err := f.restart(ctx); err != nil {
		return nil, err
	}
	return []*frame{Control{Type: kindReset, Cursor: f.at.String()}.frame()}, nil
}

// restart moves the subscriber to the present end of the log: to the position of the tail,
// or past it when the tail does not know yet that the log was replaced.
func (f *subscriber) restart(ctx context.Context) (err error) {
	f.at = f.to
	if err = f.log.Verify(ctx, f.at); errors.Is(err, events.ErrRewritten) {
		f.at, err = f.log.Head(ctx)
	}
	return err
}

// replaced is for a subscriber that notices before the tail does.
func (f *subscriber) replaced() ([]*frame, error) {
	f.hub.mu.Lock()
	f.hub.requeue(f)
	f.hub.mu.Unlock()
	return f.recheck()
}
