package events

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/wakeup"
)

// The polling interval without wake-ups (SPEC E5), and the intervals while events wait for an older
// transaction: they double from lookAgain to lookAtMost.
const (
	pollInterval = time.Second
	retryMin     = 4 * time.Millisecond
	retryMax     = 100 * time.Millisecond
	readTimeout  = 5 * time.Second
	pageSize     = 2000
)

// Tail reads new events once per node and passes them to all subscribers, so that the cost of
// reading does not grow with the number of sockets.
type Tail struct {
	log      *Log
	logger   *slog.Logger
	wake     wakeup.Signal
	interval time.Duration // interval without wake-ups
	lag      lag

	// OnDelivered, when set before Run, is called with the age of the oldest event of each page when
	// the page was delivered.
	OnDelivered func(age time.Duration)

	at          Cursor
	subscribers []func([]Event, Cursor)
	rewritten   []func(Cursor)
	rewrites    atomic.Int64
}

// NewTail returns a tail that starts at the head of the log when Run is called.
func NewTail(log *Log, out *slog.Logger) *Tail {
	return &Tail{log: log, logger: out, wake: wakeup.New(), interval: pollInterval}
}

// Subscribe registers fn. Call it before Run. Run calls fn from one goroutine and in order, with
// new events and the position of the last one; fn must not block. The first call has no events.
func (t *Tail) Subscribe(fn func([]Event, Cursor)) { t.subscribers = append(t.subscribers, fn) }

// OnRewritten registers fn. Call it before Run. Run calls fn when the log was restored to a state
// before the last delivered event, or was adopted (ErrRewritten), with the position that later
// events follow.
func (t *Tail) OnRewritten(fn func(Cursor)) { t.rewritten = append(t.rewritten, fn) }

// Rewrites returns the number of times that the log was rewritten.
func (t *Tail) Rewrites() int64 { return t.rewrites.Load() }

// Wake makes the tail look for events now. It never blocks, and an unneeded call does no harm.
func (t *Tail) Wake() { t.wake.Send() }

// Lag returns the age of the oldest event that was not delivered, also while a transaction holds it
// back; zero if all were. While the log cannot be read, it is the time since it could.
func (t *Tail) Lag() time.Duration { return t.lag.age() }

// Run delivers events until ctx ends and then returns nil. While the database is unavailable it
// retries from the same position, so no event is lost.
func (t *Tail) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := retryMin

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-timer.C:
		}

		from := t.at
		behind, err := t.deliverNew(ctx)
		if t.at != from { // progress: what waits now is a different event
			pause = retryMin
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			t.logger.WarnContext(ctx, "tail cannot read the event log, retrying", "error", err)
			timer.Reset(pollInterval / 2)
		case behind:
			timer.Reset(pause)
			pause = min(pause*2, retryMax)
		default:
			timer.Reset(t.interval)
			pause = retryMin
		}
	}
}

// deliverNew delivers all events that are readable now.
func (t *Tail) deliverNew(ctx context.Context) (behind bool, err error) {
	if t.at.Epoch == "" {
		head, err := t.head(ctx)
		if err != nil {
			return false, err
		}
		t.at = head
		t.deliver(nil, head)
	}
	for {
		page, err := t.page(ctx)
		if errors.Is(err, ErrRewritten) {
			return true, t.rewind(ctx, err) // deliverNew again soon
		}
		if err != nil {
			return false, err
		}
		if len(page.Events) > 0 {
			t.at = page.Next
			t.deliver(page.Events, page.Next)
		}
		t.lag.passed(page)
		if !page.More {
			return page.Waiting, nil
		}
	}
}

// rewind moves to the head of a log that does not contain the last delivered event. It closes all
// connections, because they may lead to the previous database.
func (t *Tail) rewind(ctx context.Context, why error) error {
	t.log.pool.Reset()
	head, err := t.head(ctx)
	if err != nil {
		return err
	}
	t.rewrites.Add(1)
	t.logger.WarnContext(ctx, "the event log was replaced by one that lacks events which were delivered; readers that are ahead of it are reset",
		"reason", why, "head", head)
	t.at = head
	for _, fn := range t.rewritten {
		fn(head)
	}
	return nil
}

func (t *Tail) head(ctx context.Context) (Cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return t.log.Head(ctx)
}

func (t *Tail) page(ctx context.Context) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return t.log.After(ctx, t.at, uuid.Nil, pageSize)
}

func (t *Tail) deliver(list []Event, at Cursor) {
	if len(list) > 0 && t.OnDelivered != nil {
		t.OnDelivered(time.Since(list[0].At))
	}
	for _, fn := range t.subscribers {
		fn(list, at)
	}
}
