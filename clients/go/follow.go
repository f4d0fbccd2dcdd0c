package orderflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Start is the value of [FollowOptions].After that begins with the oldest event that is kept.
const Start = "start"

// Transport is a way to receive events. Both have the same events, order and cursors, so that a
// program may change from one to the other at any cursor.
type Transport int

const (
	// WebSocket is the default.
	WebSocket Transport = iota
	// ServerSentEvents works through proxies that do not pass WebSockets.
	ServerSentEvents
)

// FollowOptions select events. The zero value follows all events of the account from now on, or of
// all accounts if it is an administrator's.
type FollowOptions struct {
	// After is the cursor of the last event that was handled, or [Start]. Without it the events
	// begin now.
	After string
	// Types are the types to receive, such as order.shipped; empty for all.
	Types []string
	// OrderID selects one order.
	OrderID string
	// UserID selects the orders of one user. Only administrators may use another than their own.
	UserID string
	// Transport is [WebSocket] or [ServerSentEvents].
	Transport Transport

	// OnReady is called for each new connection with the cursor after which its events begin.
	OnReady func(cursor string)
	// OnUnread is called with the number of unread notifications of the account when it changes.
	OnUnread func(unread int64)
	// OnRetry is called when a connection has ended or could not be made, with the pause before the
	// next attempt.
	OnRetry func(err error, wait time.Duration)
}

// ResetError is yielded by [Client.Follow] if the server cannot resume after the cursor: it is older
// than what is kept, or the database was restored to an earlier state. Events may be missing. Read
// afresh what you need and continue the loop; the events go on after Cursor.
type ResetError struct{ Cursor string }

// Error implements error.
func (e *ResetError) Error() string {
	return "orderflow: the server cannot resume after the cursor, and events may be missing; they go on after " + e.Cursor
}

// Follow iterates over events as they happen. It reconnects to any node of the server after an
// interruption and resumes after the last event, so that each event is yielded once and in order,
// until the loop ends or ctx is done.
//
// An error is the last element, unless it is a [*ResetError], after which the loop may continue.
// The last error is that of ctx, or a [*Problem] if the server refuses the request or the
// credentials and would refuse them again.
//
// The next event is read when the body of the loop has finished. If that takes longer than about a
// minute, the server closes the connection; the iterator then resumes with a new one. To continue in
// another process, store the Cursor of each event when it is handled.
func (c *Client) Follow(ctx context.Context, options FollowOptions) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		f := &follower{client: c, options: options, cursor: options.After, yield: yield}
		if err := f.run(ctx); err != nil {
			yield(nil, err)
		}
	}
}

const (
	followMinWait = 500 * time.Millisecond
	followMaxWait = 30 * time.Second
	// The server sends a ping every 25 seconds over a WebSocket and every 15 over an event stream.
	followSilence = time.Minute
	// The largest frame. An event contains at most one order.
	followLimit = 4 << 20
)

// The types of frames that are not events.
const (
	frameReady  = "ready"
	frameReset  = "reset"
	frameUnread = "notifications.unread"
	frameClose  = "close" // of an event stream, in place of a close code
)

// connection delivers frames until it ends.
type connection interface {
	// next returns the text of a frame. heard is called for every sign of life.
	next(ctx context.Context) ([]byte, error)
	close()
}

type follower struct {
	client   *Client
	options  FollowOptions
	yield    func(*Event, error) bool
	cursor   string
	bearer   string
	refused  string // the token that the server has rejected
	failures int    // in a row
}

// errStop ends the iteration because the body of the loop has left it.
var errStop = errors.New("stop")

// run connects again and again. It returns nil if the loop was left.
func (f *follower) run(ctx context.Context) error {
	for {
		err := f.connect(ctx)
		switch {
		case errors.Is(err, errStop):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		wait, again := f.next(err)
		if !again {
			return err
		}
		if f.options.OnRetry != nil {
			f.options.OnRetry(err, wait)
		}
		if err := f.client.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// permanent is an error that another connection cannot change.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// next decides whether the follower connects again, and after which pause.
func (f *follower) next(err error) (wait time.Duration, again bool) {
	var p *Problem
	switch {
	case errors.As(err, new(permanent)):
		return 0, false
	case errors.As(err, &p) && tokenRefused(p) && f.refused == "" && !isFixed(f.client.credentials):
		f.refused = f.bearer
		return 0, true
	case errors.As(err, &p):
		if later, _ := temporary(p.Status, p.Code); !later {
			return 0, false
		}
		wait = p.RetryAfter
	}
	f.failures++
	return wait + backoff(f.failures, followMinWait, followMaxWait), true
}

func isFixed(c Credentials) bool {
	_, fixed := c.(static)
	return fixed
}

// connect makes one connection and yields its events. It never returns nil.
func (f *follower) connect(ctx context.Context) error {
	token, err := f.client.bearer(ctx, f.refused)
	if err != nil {
		return err
	}
	f.bearer = token
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newWatch(followSilence, func() { cancel(errSilence) })
	defer watch.stop()

	open := f.openSocket
	if f.options.Transport == ServerSentEvents {
		open = f.openStream
	}
	conn, err := open(ctx, watch)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer conn.close()
	for {
		watch.heard()
		text, err := conn.next(ctx)
		if err != nil {
			return causeOf(ctx, err)
		}
		watch.stop() // while the loop handles the event, nothing is read
		if err := f.take(text); err != nil {
			return err
		}
	}
}

// causeOf returns why a connection was given up, if it was, and otherwise err.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// take handles a frame and moves the cursor behind it.
func (f *follower) take(text []byte) error {
	var frame struct {
		Type   string `json:"type"`
		Cursor string `json:"cursor"`
		Unread int64  `json:"unread"`
	}
	if err := json.Unmarshal(text, &frame); err != nil {
		return fmt.Errorf("orderflow: not a frame: %w", err)
	}
	f.failures, f.refused = 0, ""
	switch frame.Type {
	case frameReady:
		f.cursor = frame.Cursor
		if f.options.OnReady != nil {
			f.options.OnReady(frame.Cursor)
		}
	case frameReset:
		f.cursor = frame.Cursor
		if !f.yield(nil, &ResetError{Cursor: frame.Cursor}) {
			return errStop
		}
	case frameUnread:
		if f.options.OnUnread != nil {
			f.options.OnUnread(frame.Unread)
		}
	default:
		return f.pass(text, frame.Cursor)
	}
	return nil
}

// pass yields an event. An event that cannot be decoded ends the iteration, because leaving it out
// would be a gap.
func (f *follower) pass(text []byte, cursor string) error {
	e := &Event{}
	if err := json.Unmarshal(text, e); err != nil {
		return permanent{fmt.Errorf("%w (cursor %s)", err, cursor)}
	}
	f.cursor = cursor
	if !f.yield(e, nil) {
		return errStop
	}
	return nil
}

// address returns the URL of a transport.
func (f *follower) address(path string) string {
	query := url.Values{}
	for name, value := range map[string]string{
		"after": f.cursor, "types": strings.Join(f.options.Types, ","), "orderId": f.options.OrderID, "userId": f.options.UserID,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u := f.client.base.JoinPath(path)
	u.RawQuery = query.Encode()
	return u.String()
}

func (f *follower) header() http.Header {
	h := http.Header{"User-Agent": {f.client.userAgent}}
	if f.bearer != "" {
		h.Set("Authorization", "Bearer "+f.bearer)
	}
	return h
}
