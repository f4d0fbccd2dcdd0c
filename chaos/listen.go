package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/fasthttp/websocket"
)

// listener follows the event stream across everything that breaks, on any node,
// with the last cursor it saw (SPEC E3). An administrator's sees all orders.
type listener struct {
	*person
	mu     sync.Mutex
	cursor string
	ids    []string         // in the order of arrival
	seen   map[string]event // by id
}

// event is what matters of a frame.
type event struct {
	ID, Type, Subject, Cursor string
	Version                   int64
	Data                      struct{ Status string }
}

// silence is after how long without a ping or a frame a connection counts as dead.
const silence = time.Minute

func (p *person) listener() *listener { return &listener{person: p, seen: map[string]event{}} }

// run listens until ctx ends. begun is closed at the first frame.
func (s *listener) run(ctx context.Context, begun chan<- struct{}) {
	for ctx.Err() == nil {
		conn, err := s.dial(ctx)
		if err != nil {
			pause(ctx, 200*time.Millisecond)
			continue
		}
		s.report.count("sockets opened", 1)
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		s.read(conn, &begun)
		stop()
		conn.Close()
		pause(ctx, 50*time.Millisecond)
	}
}

func (s *listener) dial(ctx context.Context) (*websocket.Conn, error) {
	token, err := s.bearer(ctx)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "ws", Host: s.node().host, Path: "/v1/events/ws"}
	if s.cursor != "" {
		u.RawQuery = url.Values{"after": {s.cursor}}.Encode()
	}
	d := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	conn, res, err := d.DialContext(ctx, u.String(), http.Header{"Authorization": {"Bearer " + token}})
	if res != nil {
		res.Body.Close()
		if res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable {
			s.breaches.add("5xx", "opening a socket: %s", res.Status)
		}
	}
	return conn, err
}

func (s *listener) read(conn *websocket.Conn, begun *chan<- struct{}) {
	conn.SetPingHandler(func(text string) error {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		return conn.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(time.Second))
	})
	for {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		var e event
		if err := json.Unmarshal(text, &e); err != nil {
			s.breaches.add("frame", "%v: %s", err, text)
			return
		}
		s.take(e)
		if *begun != nil {
			close(*begun)
			*begun = nil
		}
	}
}

func (s *listener) take(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = e.Cursor
	switch {
	case e.Type == "ready":
	case e.Type == "reset":
		s.breaches.add("reset", "%s was told to begin anew", s.email)
	case s.seen[e.ID].ID != "":
		s.breaches.add("event twice", "%s: %s", s.email, e.ID)
	default:
		s.ids = append(s.ids, e.ID)
		s.seen[e.ID] = e
	}
}

func (s *listener) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

// catchUp waits until the listener has as many events as the log.
func (s *listener) catchUp(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var want int
		if err := s.db.direct.QueryRow(ctx, query).Scan(&want); err != nil {
			return err
		}
		if s.count() >= want {
			return nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			s.breaches.add("events missing", "%s saw %d of %d events", s.email, s.count(), want)
			return nil
		}
	}
}

// judge compares what arrived with the log: everything, once, in the log's order,
// and each order's in the order of its versions.
func (s *listener) judge(ctx context.Context, where string) error {
	if err := s.catchUp(ctx, "select count(*) from events "+where); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := 0
	err := s.db.rows(ctx, "select order_id || '/' || version from events "+where+" order by xid, seq", func(scan func(...any) error) error {
		var id string
		if err := scan(&id); err != nil {
			return err
		}
		if at >= len(s.ids) || s.ids[at] != id {
			got := "nothing"
			if at < len(s.ids) {
				got = s.ids[at]
			}
			return fmt.Errorf("event %d is %s in the log and %s at %s", at+1, id, got, s.email)
		}
		at++
		return nil
	})
	if err != nil {
		s.breaches.add("stream differs from the log", "%v", err)
	} else if at != len(s.ids) {
		s.breaches.add("stream differs from the log", "%s saw %d events, the log has %d", s.email, len(s.ids), at)
	}
	next := map[string]int64{}
	for _, id := range s.ids {
		e := s.seen[id]
		if next[e.Subject]++; e.Version != next[e.Subject] {
			s.breaches.add("events out of order", "%s: order %s: version %d came when %d was due", s.email, e.Subject, e.Version, next[e.Subject])
			next[e.Subject] = e.Version
		}
	}
	return nil
}
