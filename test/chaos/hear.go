package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fasthttp/websocket"
)

// The three transports of the stream (SPEC E2, E4). Each continues after the cursor until ctx or
// the connection ends, or until it receives something other than an event.
var transports = []struct {
	name string
	hear func(*listener, context.Context) error
}{
	{"socket", (*listener).hearSocket},
	{"event stream", (*listener).hearStream},
	{"pages", (*listener).hearPages},
}

// silence is the time without a ping or a frame after which a connection counts as dead.
const silence = time.Minute

// place returns the query of the next connection.
func (s *listener) place() url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := url.Values{}
	if s.cursor != "" {
		q.Set("after", s.cursor)
	}
	return q
}

func (s *listener) hearSocket(ctx context.Context) error {
	token, err := s.bearer(ctx)
	if err != nil {
		return err
	}
	u := url.URL{Scheme: "ws", Host: s.node().host, Path: "/v1/events/ws", RawQuery: s.place().Encode()}
	d := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	conn, res, err := d.DialContext(ctx, u.String(), http.Header{"Authorization": {"Bearer " + token}})
	if res != nil {
		res.Body.Close()
		s.judgeStatus("opening a socket", res)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	conn.SetPingHandler(func(text string) error {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		return conn.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(time.Second))
	})
	for {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		_, text, err := conn.ReadMessage()
		if err == nil {
			err = s.takeRaw(text)
		}
		if err != nil {
			return err
		}
	}
}

// open sends a request whose response may take long.
func (s *listener) open(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	token, err := s.bearer(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.node().host+path+"?"+q.Encode(), http.NoBody) //nolint:gosec // our own node
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := s.web.Do(req) //nolint:gosec // the same
	if err != nil {
		return nil, err
	}
	s.judgeStatus(path, res)
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, res.Status)
	}
	return res, nil
}

func (s *listener) judgeStatus(what string, res *http.Response) {
	if res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable {
		s.breaches.add("5xx", "%s: %s", what, res.Status)
	}
}

func (s *listener) hearStream(ctx context.Context) error {
	res, err := s.open(ctx, "/v1/events/stream", s.place())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	watchdog := time.AfterFunc(silence, func() { res.Body.Close() })
	defer watchdog.Stop()

	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	var data, name string
	for lines.Scan() {
		watchdog.Reset(silence)
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "data: "):
			data = line[len("data: "):]
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case line == "" && data != "" && name != "close":
			if err := s.takeRaw([]byte(data)); err != nil {
				return err
			}
			data, name = "", ""
		}
	}
	return lines.Err()
}

func (s *listener) hearPages(ctx context.Context) error {
	for ctx.Err() == nil {
		q := s.place()
		if q.Has("after") {
			q.Set("wait", "5")
		}
		q.Set("limit", fmt.Sprint(1+s.rng.IntN(300)))
		res, err := s.open(ctx, "/v1/events", q)
		if err != nil {
			return err
		}
		var page struct {
			Data       []event
			NextCursor string
			Reset      bool
		}
		err = json.NewDecoder(res.Body).Decode(&page)
		res.Body.Close()
		if err != nil {
			return err
		}
		if page.Reset {
			s.take(event{Type: "reset", Cursor: page.NextCursor})
		}
		for _, e := range page.Data {
			s.take(e)
		}
		s.take(event{Type: "ready", Cursor: page.NextCursor})
	}
	return ctx.Err()
}
