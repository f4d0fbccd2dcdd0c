package events

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/wakeup"
)

// How often the tail looks without being told (SPEC E5), and how soon it looks
// again at something that waits for an older transaction.
const (
	pollEvery  = time.Second
	lookAgain  = 4 * time.Millisecond
	lookAtMost = 100 * time.Millisecond
	readWithin = 5 * time.Second
	pageSize   = 2000
)

// Tail reads new events once per node and hands them to whoever subscribed, so
// that the cost of reading does not grow with the number of sockets.
type Tail struct {
	log  *Log
	out  *slog.Logger
	wake wakeup.Signal
	poll time.Duration // between two looks that nobody asked for
	lag  atomic.Int64  // age of the last delivered event, ns

	at        Cursor
	subs      []func([]Event, Cursor)
	rewritten []func(Cursor)
	rewrites  atomic.Int64
}

// NewTail makes a tail that starts at the head of the log when it runs.
func NewTail(log *Log, out *slog.Logger) *Tail {
	return &Tail{log: log, out: out, wake: wakeup.New(), poll: pollEvery}
}

// Subscribe registers fn before Run. It is called from one goroutine, in order,
// with new events and the place that is reached with them; it must not block.
func (t *Tail) Subscribe(fn func([]Event, Cursor)) { t.subs = append(t.subs, fn) }

// Rewritten registers fn before Run. It is called in the same way, instead of with events,
// when the log went back behind what was delivered, or was adopted (ErrRewritten): what
// comes from now on follows the place that it is given.
func (t *Tail) Rewritten(fn func(Cursor)) { t.rewritten = append(t.rewritten, fn) }

// Rewrites counts how often that happened.
func (t *Tail) Rewrites() int64 { return t.rewrites.Load() }

// Wake says "look now". It never blocks, and to call it for nothing does no harm.
func (t *Tail) Wake() { t.wake.Send() }

// Lag is the time between the last delivered event and its delivery.
func (t *Tail) Lag() time.Duration { return time.Duration(t.lag.Load()) }

// Run tails the log until ctx ends. A database that is away is waited for: the
// cursor stays where it was, so nothing is missed.
func (t *Tail) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := lookAgain

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-timer.C:
		}

		from := t.at
		behind, err := t.look(ctx)
		if t.at != from { // what was waited for came, and what waits now is something else
			pause = lookAgain
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			t.out.WarnContext(ctx, "tail cannot read the event log", "error", err)
			timer.Reset(pollEvery / 2)
		case behind:
			timer.Reset(pause)
			pause = min(pause*2, lookAtMost)
		default:
			timer.Reset(t.poll)
			pause = lookAgain
		}
	}
}

// look delivers all that is visible now.
func (t *Tail) look(ctx context.Context) (behind bool, err error) {
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
			return true, t.rewind(ctx, err) // and look again soon
		}
		if err != nil {
			return false, err
		}
		if len(page.Events) > 0 {
			t.at = page.Next
			t.deliver(page.Events, page.Next)
		}
		if !page.Full {
			return page.Behind, nil
		}
	}
}

// rewind goes to the head of a log that does not have the event that was delivered last.
// Connections that are still open may lead to the database of before, so none is kept.
func (t *Tail) rewind(ctx context.Context, why error) error {
	t.log.pool.Reset()
	head, err := t.head(ctx)
	if err != nil {
		return err
	}
	t.rewrites.Add(1)
	t.out.WarnContext(ctx, "the event log was replaced by one that lacks events which were delivered; readers that are ahead of it are reset",
		"reason", why, "head", head)
	t.at = head
	for _, fn := range t.rewritten {
		fn(head)
	}
	return nil
}

func (t *Tail) head(ctx context.Context) (Cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	return t.log.Head(ctx)
}

func (t *Tail) page(ctx context.Context) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	return t.log.After(ctx, t.at, uuid.Nil, pageSize)
}

func (t *Tail) deliver(list []Event, at Cursor) {
	if n := len(list); n > 0 {
		t.lag.Store(int64(time.Since(list[n-1].At)))
	}
	for _, fn := range t.subs {
		fn(list, at)
	}
}
