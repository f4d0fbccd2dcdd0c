package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/orderflow-dev/orderflow/platform/events"
)

const (
	followRetry   = 200 * time.Millisecond // doubles up to
	followRetries = 10 * time.Second
	followSilence = time.Minute // without a frame or a ping, a connection counts as dead
	followRequest = 15 * time.Second
)

// follower follows the events of a server over its socket, as an account or an API key. After a disconnect it
// resumes behind the last event that take has accepted.
type follower struct {
	server string
	query  url.Values // the filter
	cursor string
	login  *apiLogin
	say    func(format string, args ...any) // tells the user about the connection

	// take handles an event. text is the event as it came. An error ends the connection; the event is repeated.
	take func(ctx context.Context, e events.Message, text []byte) error
	live bool // the present connection has told its position
}

// refused is a response that a retry cannot change.
type refused struct{ error }

func (r *refused) Unwrap() error { return r.error }

// run follows until ctx ends, and then returns nil, or until the server refuses.
func (f *follower) run(ctx context.Context) error {
	defer f.login.end()
	pause := followRetry
	for {
		before := f.cursor
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return nil // asked to stop, which is no failure
		}
		if never, ok := errors.AsType[*refused](err); ok {
			return never.error
		}
		if f.cursor != before {
			pause = followRetry
		}
		f.say("Cut off (%v); goes on from where it was.\n", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // jitter, not a secret
		}
		pause = min(pause*2, followRetries)
	}
}

// follow opens the socket and takes events until the connection ends.
func (f *follower) follow(ctx context.Context) error {
	conn, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetPingHandler(func(text string) error {
		_ = conn.SetReadDeadline(time.Now().Add(followSilence))
		return conn.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(time.Second))
	})
	for {
		_ = conn.SetReadDeadline(time.Now().Add(followSilence))
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := f.frame(ctx, text); err != nil {
			return err
		}
	}
}

// frame handles one frame and then stores its cursor, so that after a disconnect an event is repeated and not
// lost. Only events are CloudEvents; other frames, such as notifications.unread, are about the connection.
func (f *follower) frame(ctx context.Context, text []byte) error {
	var e events.Message
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("not a frame of Orderflow: %w", err)
	}
	switch {
	case e.SpecVersion != "":
		if err := f.take(ctx, e, text); err != nil {
			return err
		}
	case e.Type == "ready" && !f.live: // later ones tell the position alone
		f.live = true
		f.say("Listening at %s\n", f.server)
	case e.Type == "reset":
		f.say("The server does not have that place: it is too long ago, or its database went back. What was in between is lost. Goes on from now.\n")
	}
	if e.Cursor != "" {
		f.cursor = e.Cursor
	}
	return nil
}

func (f *follower) dial(ctx context.Context) (*websocket.Conn, error) {
	f.live = false
	token, err := f.login.token(ctx)
	if err != nil {
		return nil, err
	}
	if f.cursor != "" {
		f.query.Set("after", f.cursor)
	}
	address := "ws" + strings.TrimPrefix(f.server, "http") + "/v1/events/ws?" + f.query.Encode()
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second, Proxy: http.ProxyFromEnvironment}
	conn, res, err := dialer.DialContext(ctx, address, http.Header{"Authorization": {"Bearer " + token}})
	if res == nil || err == nil {
		return conn, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized {
		f.login.forget()
	}
	return nil, refusal(res)
}

// refusal returns the error of a response, as a *refused if it is permanent.
func refusal(res *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 16<<10))
	err := fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(raw)))
	var p struct {
		Code, Detail string
		Errors       []struct{ Pointer, Message string }
	}
	if json.Unmarshal(raw, &p) == nil && p.Code != "" {
		err = fmt.Errorf("%s: %s %s", res.Status, p.Code, p.Detail)
		for _, e := range p.Errors {
			err = fmt.Errorf("%w; %s: %s", err, e.Pointer, e.Message)
		}
	}
	if res.StatusCode >= 400 && res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusRequestTimeout {
		return &refused{err}
	}
	return err
}
