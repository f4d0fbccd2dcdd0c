package notifications

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// limits are the limits of a subscriber and its connection (SPEC E6).
type limits struct {
	pingEvery   time.Duration
	deadAfter   time.Duration // without a pong or anything else
	writeWithin time.Duration
	closeWithin time.Duration // for the peer's close frame, and for a write that is in progress when we close
	readWithin  time.Duration // one page of the log
	slotWithin  time.Duration // for a slot to read one; below pingEvery
	handshake   time.Duration // until the socket runs; above the server's time-out for writing the 101
	read        int64         // bytes of one message
	queue       int           // frames
	page        int           // events
	patience    time.Duration // without a completed write, after which a full queue means a slow reader
	behind      time.Duration // for catching up after the queue overflowed
}

var usual = limits{
	pingEvery: 25 * time.Second, deadAfter: 55 * time.Second,
	writeWithin: 10 * time.Second, closeWithin: time.Second, readWithin: 5 * time.Second, slotWithin: 20 * time.Second, handshake: 40 * time.Second,
	read: 4 << 10, queue: 256, page: 500, patience: 2 * time.Second, behind: 20 * time.Second,
}

// subscriber receives events: first the missed ones from the log, then the live ones from the
// tail. The transports differ only in how they write frames.
type subscriber struct {
	filter
	hub           *hub
	log           *events.Log
	out           *slog.Logger
	keep          time.Duration
	limitedRead   limitedRead
	limits        *limits
	caller        identity.Caller
	currentCaller func(context.Context, uuid.UUID) (identity.Caller, error)

	ctx    context.Context //nolint:containedctx // the lifetime of the subscription, which is independent of calls of next
	cancel context.CancelCauseFunc
	onEnd  func(why closeReason) // of the transport; called once, possibly under hub.mu
	cut    func()                // ends the connection of a subscriber that does not stop
	ended  atomic.Bool
	moved  atomic.Int64 // the time of the last successful write in Unix ns
	queue  *queue

	// Only used by the caller of next.
	begun    bool
	catching bool // the missing events are in the log, up to and including to
	to       events.Cursor
	// The position that idle reported last, and the one before: what is between them was not for this
	// subscriber.
	idled, shown events.Cursor

	// Guarded by hub.mu.
	live    bool      // has caught up at least once
	overrun bool      // the queue overflowed: the missing events are in the log
	doubted bool      // the log was replaced: the position has to be verified
	since   time.Time // when a live one fell behind; zero while it keeps up
}

// closeReason is the reason for the end of a subscription; the first reason counts. With code 0
// the subscriber gets no message.
type closeReason struct {
	code   int
	reason string
}

func (e closeReason) Error() string { return strconv.Itoa(e.code) + " " + e.reason }

// The WebSocket close codes. Those from 4400 on are specific to this API.
const (
	closeGoingAway       = 1001
	closeInternal        = 1011
	closeUnauthenticated = 4401 // the session ended or changed
	closeSlow            = 4408 // does not read fast enough; resume from the last cursor
)

var (
	hungUp   = closeReason{0, "the peer is gone"}
	loggedIn = closeReason{closeUnauthenticated, "log in again"}
	slow     = closeReason{closeSlow, "too slow; resume from the last cursor"}
	broken   = closeReason{closeInternal, "resume from the last cursor"}
	stopping = closeReason{closeGoingAway, "the server is stopping; resume elsewhere"}
)

func (m *Module) newSubscriber(caller identity.Caller, f filter) *subscriber {
	one := &subscriber{
		filter: f, hub: m.hub, log: m.events, out: m.log, keep: m.keep, limits: &m.limits, limitedRead: m.limitedRead(reads.CatchUp, caller.UserID),
		caller: caller, currentCaller: m.sessions.CurrentCaller, queue: newQueue(m.limits.queue),
		onEnd: func(closeReason) {}, cut: func() {},
	}
	one.ctx, one.cancel = context.WithCancelCause(context.Background())
	return one
}

// end ends the subscription. It never blocks, and only its first call has an effect.
func (f *subscriber) end(why closeReason) {
	f.cancel(why)
	if f.ended.CompareAndSwap(false, true) {
		f.onEnd(why)
	}
}

// why returns the reason for the end.
func (f *subscriber) why() closeReason {
	why := hungUp
	errors.As(context.Cause(f.ctx), &why)
	return why
}

// offer queues a frame. The caller holds hub.mu. If the queue overflows, the subscriber
// continues from the log, because a burst of events does not mean that its client is slow. A
// client is slow if writes do not complete or the subscriber does not catch up (SPEC E6).
func (f *subscriber) offer(one *frame) {
	if !f.wants(one.kind, one.order) {
		return
	}
	if !f.overrun && f.queue.put(one) {
		f.hub.sent.Inc()
		return
	}
	f.overrun = true
	if !f.live {
		return // it has not caught up yet, for which there is no limit
	}
	now := time.Now()
	if f.since.IsZero() {
		f.since = now
	}
	stuck := min(now.Sub(time.Unix(0, f.moved.Load())), f.queue.waiting())
	if stuck > f.limits.patience || now.Sub(f.since) > f.limits.behind {
		f.end(slow)
	}
}

// next returns the frames to write now, in order. If there are none, the queue wakes the
// consumer later. An error means that the log cannot be read or that the subscription has
// ended.
func (f *subscriber) next() ([]*frame, error) {
	if !f.begun {
		first, err := f.begin()
		if err != nil {
			return nil, err
		}
		f.begun = true
		return []*frame{first}, nil
	}
	for f.ctx.Err() == nil {
		switch {
		case f.hub.doubts(f):
			if frames, err := f.recheck(); len(frames) > 0 || err != nil {
				return frames, err
			}
		case f.catching && f.at.Before(f.to):
			if frames, err := f.catchUp(); len(frames) > 0 || err != nil {
				return frames, err
			}
		case f.catching:
			f.to, f.catching = f.hub.caughtUp(f)
		case f.hub.ranOver(f):
			f.catching = true
		default:
			all, some := f.queue.take()
			if frames := f.news(all); len(frames) > 0 || !some {
				return frames, nil
			}
		}
	}
	return nil, context.Cause(f.ctx)
}

// begin joins the hub and sets the start of the stream: the client's cursor, or the current
// position.
func (f *subscriber) begin() (*frame, error) {
	if err := f.recheckCredential(); err != nil {
		return nil, err
	}
	f.hub.doubts(f) // ignored, because the position is verified now
	first := Control{Type: kindReady}
	switch {
	case f.resume:
		gone, err := f.resumes()
		if err != nil {
			return nil, err
		}
		if gone {
			first.Type = kindReset
		}
	case f.start:
		if err := f.rewind(); err != nil {
			return nil, err
		}
	default:
		f.at = f.to
	}
	f.catching = true
	first.Cursor = f.at.String()
	return first.frame(), nil
}

// resumes verifies the client's cursor. It reports whether the cursor cannot be resumed; then the
// stream starts at the current position.
func (f *subscriber) resumes() (gone bool, err error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.limits.readWithin)
	defer cancel()

	gone, err = f.log.Expired(ctx, f.at, f.owner, f.keep)
	if err == nil && !gone && f.to.Before(f.at) {
		err = f.verify(ctx)
		gone = errors.Is(err, events.ErrRewritten)
	}
	if gone {
		err = f.restart(ctx)
	}
	return gone, err
}

// rewind moves the subscriber before the oldest event that is kept for resuming (SPEC G10). The
// position is never after that of the tail, so that the subscriber misses nothing that the tail
// delivers.
func (f *subscriber) rewind() error {
	waiting, cancel := context.WithTimeout(f.ctx, f.limits.slotWithin)
	defer cancel()
	return f.limitedRead(waiting, func() error {
		ctx, cancel := context.WithTimeout(f.ctx, f.limits.readWithin)
		defer cancel()
		at, err := oldest(ctx, f.log, f.keep)
		if err != nil {
			return err
		}
		if f.at = at; f.to.Before(at) {
			f.at = f.to
		}
		return nil
	})
}

// recheckCredential checks the session or key again, because it may have ended between the handshake
// and joining the hub. From here on the hub notifies the subscriber.
func (f *subscriber) recheckCredential() error {
	ctx, cancel := context.WithTimeout(f.ctx, f.limits.readWithin)
	defer cancel()

	now, err := f.currentCaller(ctx, f.caller.Credential())
	if known, ok := fault.As(err); ok && known.Kind == fault.KindUnauthenticated || err == nil && now != f.caller {
		f.end(loggedIn)
		return context.Cause(f.ctx)
	}
	return err
}

// catchUp reads a page of the log after f.at, up to and including f.to. Later events are in the
// queue.
func (f *subscriber) catchUp() (frames []*frame, err error) {
	var page events.Page
	waiting, cancel := context.WithTimeout(f.ctx, f.limits.slotWithin)
	defer cancel()
	f.moved.Store(math.MaxInt64) // waiting for a slot does not count as slow reading
	err = f.limitedRead(waiting, func() (err error) {
		f.moved.Store(time.Now().UnixNano())
		ctx, cancel := context.WithTimeout(f.ctx, f.limits.readWithin)
		defer cancel()
		page, err = f.page(ctx, f.log, f.at, f.limits.page)
		return err
	})
	if errors.Is(err, events.ErrRewritten) {
		return f.replaced()
	}
	if err != nil {
		return nil, err
	}
	// f.at is always a position that was read, because the position of the tail may belong to a
	// log that was replaced meanwhile.
	last := !page.More
	for _, e := range page.Events {
		if f.to.Before(e.Cursor) {
			last = true
			break
		}
		f.at = e.Cursor
		if f.wants(e.Type, e.OrderID) {
			frames = append(frames, frameOf(e, f.out))
		}
	}
	if last {
		f.to = f.at
	}
	return frames, nil
}

// news returns the queued frames after the subscriber's position.
func (f *subscriber) news(all taken) []*frame {
	frames := slices.DeleteFunc(all.frames, func(one *frame) bool { return !f.at.Before(one.cursor) })
	if len(frames) > 0 {
		f.at = frames[len(frames)-1].cursor
	}
	if all.unread != nil {
		frames = append(frames, Control{Type: kindUnread, Cursor: f.at.String(), Unread: all.unread}.frame())
	}
	if all.ping {
		frames = append(frames, f.idle()...)
	}
	return frames
}

// idle returns the frames for a connection on which nothing was sent for a while. If the log went on with
// events that the subscriber does not get, a ready frame tells the client the position: otherwise its
// cursor would be that of the last event that it got, and expire although it was connected all along.
func (f *subscriber) idle() []*frame {
	at, moved := f.hub.passed(f)
	if !moved {
		return []*frame{ping}
	}
	if f.at != f.idled {
		f.shown = f.at
	}
	f.at, f.idled = at, at
	return []*frame{Control{Type: kindReady, Cursor: at.String()}.frame(), ping}
}
