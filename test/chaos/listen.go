package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// listener follows the event stream during all faults, on any node and transport, and resumes with
// the last cursor that it received (SPEC E3, E4). The listener of an administrator sees all orders.
type listener struct {
	*person
	rng   *rand.Rand
	begun chan struct{} // closed at the first frame

	mu     sync.Mutex
	cursor string
	ids    []string         // in the order of arrival
	seen   map[string]event // by id
	all    []event          // every frame, for a listener that may receive a reset; nil for others
}

// event has the members of a frame that are compared.
type event struct {
	ID, Type, Subject, Cursor string
	Version                   int64
	Data                      struct{ Status string }
}

func (p *person) listener(rng *rand.Rand) *listener {
	return &listener{person: p, rng: rng, seen: map[string]event{}, begun: make(chan struct{})}
}

// run listens until ctx ends, each time for a short while over another transport.
func (s *listener) run(ctx context.Context) {
	for ctx.Err() == nil {
		way := transports[s.rng.IntN(len(transports))]
		s.report.count("listened: "+way.name, 1)
		some, cut := context.WithTimeout(ctx, time.Duration(s.rng.ExpFloat64()*float64(attention)))
		_ = way.hear(s, some) // after any error it resumes after the cursor
		cut()
		pause(ctx, time.Duration(s.rng.IntN(200))*time.Millisecond)
	}
}

// attention is the mean time until a listener cuts the connection.
const attention = 5 * time.Second

func (s *listener) takeRaw(text []byte) error {
	var e event
	if err := json.Unmarshal(text, &e); err != nil {
		s.breaches.add("frame", "%v: %s", err, text)
		return err
	}
	s.take(e)
	return nil
}

func (s *listener) take(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursor == "" {
		close(s.begun)
	}
	s.cursor = e.Cursor
	if s.all != nil {
		s.all = append(s.all, e)
		return
	}
	switch {
	case e.Type == "ready" || e.Type == "notifications.unread":
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

// judge compares the received events with the log: every event once and in the order of the log,
// and the events of each order in the order of its versions.
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
