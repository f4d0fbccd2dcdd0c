package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const lanes = 256 // maximum number of concurrent requests

// latency places orders at a fixed rate, independent of the responses (open loop). The time that an
// order waits before it is sent, because the server stalls, is included.
func (b *bench) latency(ctx context.Context) error {
	s, tokens, err := b.market(ctx, "api,worker")
	if err != nil {
		return err
	}
	defer s.stop()
	audience, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer audience.close()

	sent := s.placeAt(ctx, tokens)
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := s.drain(ctx); err != nil {
		return err
	}
	if err := audience.wait(ctx, sent); err != nil {
		return err
	}
	audience.close()
	return s.latencies(ctx, sent, audience)
}

// sending is an order with the time at which it was due to be sent.
type sending struct {
	order         uuid.UUID
	due, answered time.Time
}

// placeAt sends -rate orders a second; those of the warm-up are not returned.
func (s *server) placeAt(ctx context.Context, tokens []string) []sending {
	gap := time.Second / time.Duration(s.opt.rate)
	from := time.Now().Add(s.opt.warm)
	n := int((s.opt.warm + s.opt.step) / gap)
	due := make(chan time.Time, n) // never full, so the clock never waits
	go func() {
		defer close(due)
		at := from.Add(-s.opt.warm)
		for range n {
			pause(ctx, time.Until(at))
			if ctx.Err() != nil {
				return
			}
			due <- at
			at = at.Add(gap)
		}
	}()

	c := s.client(lanes)
	defer c.CloseIdleConnections()
	parts := make([][]sending, lanes)
	var all sync.WaitGroup
	for i := range parts {
		all.Go(func() {
			p := s.placer(c, tokens[i%len(tokens)], i)
			for at := range due {
				o, err := p.send(at)
				if err != nil {
					s.failed(err)
				} else if !at.Before(from) {
					parts[i] = append(parts[i], o)
				}
			}
		})
	}
	all.Wait()

	var sent []sending
	for _, part := range parts {
		sent = append(sent, part...)
	}
	return sent
}

func (p *placer) send(due time.Time) (o sending, err error) {
	if err := p.place(); err != nil {
		return o, err
	}
	o.due, o.answered = due, time.Now()
	o.order, err = p.placed()
	return o, err
}

// placed returns the id of the order in the last response.
func (p *placer) placed() (uuid.UUID, error) {
	location := string(p.res.Header.Peek("Location"))
	id, err := uuid.Parse(location[strings.LastIndexByte(location, '/')+1:])
	if err != nil {
		return id, fmt.Errorf("read Location %q: %w", location, err)
	}
	return id, nil
}

func (s *server) latencies(ctx context.Context, sent []sending, seen *audience) error {
	var answered, framed, late []time.Duration
	ids := make([]uuid.UUID, len(sent))
	for i, o := range sent {
		ids[i] = o.order
		at := seen.at[o.order]
		answered = append(answered, o.answered.Sub(o.due))
		framed = append(framed, at.Sub(createdAt(o.order)))
		late = append(late, at.Sub(o.due))
	}
	rows, err := s.db.Query(ctx, `
		select e.at - o.created_at from events e join orders o on o.id = e.order_id
		where e.type = 'order.processing' and o.id = any($1)`, ids)
	if err != nil {
		return err
	}
	processed, err := pgx.CollectRows(rows, pgx.RowTo[time.Duration])
	if err != nil {
		return err
	}

	r := s.report
	r.title("Latency at a fixed rate of %d orders/s, roles=api,worker", s.opt.rate)
	r.columns()
	step := func(what string, took []time.Duration) {
		r.step("latency", what, 0, step{rate: float64(len(took)) / s.opt.step.Seconds(), latency: summarize(took)})
	}
	step("due to be sent -> 201", answered)
	step("created -> PROCESSING, as the event says", processed)
	step("created -> frame at an administrator's socket", framed)
	step("due to be sent -> that frame", late)
	for why, times := range seen.ends {
		r.value("latency", "that socket was closed, and resumed", 0, float64(times), "times: "+why)
	}
	return nil
}

// createdAt returns the time in the UUIDv7, which is that of the order.
func createdAt(id uuid.UUID) time.Time {
	sec, nsec := id.Time().UnixTime()
	return time.Unix(sec, nsec).Truncate(time.Millisecond)
}

// audience is a socket of an administrator that records when orders reach PROCESSING. When the
// server closes it, usually because it is slow, it resumes from its cursor. The time for this is
// included.
type audience struct {
	mu    sync.Mutex
	conn  *websocket.Conn
	at    map[uuid.UUID]time.Time
	ends  map[string]int // number of early ends of the socket, by reason
	ended bool
	done  chan struct{}
}

const (
	onlyProcessing = "types=order.processing"
	mostEnds       = 1000 // more mean a fault of the server
)

func (s *server) listen(ctx context.Context) (*audience, error) {
	conn, ready, err := s.dial(ctx, s.token, onlyProcessing)
	if err != nil {
		return nil, err
	}
	a := &audience{conn: conn, at: map[uuid.UUID]time.Time{}, ends: map[string]int{}, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		if err := a.run(ctx, s, ready.Cursor); err != nil {
			s.report.print.fail("the administrator's socket ended", err.Error())
		}
	}()
	return a, nil
}

func (a *audience) run(ctx context.Context, s *server, cursor string) error {
	for range mostEnds {
		err := a.read(&cursor)
		if a.over() {
			return nil
		}
		if err := a.resume(ctx, s, cursor, err); err != nil {
			return err
		}
	}
	return fmt.Errorf("again and again, %d times", mostEnds)
}

// read records frames until the socket ends.
func (a *audience) read(cursor *string) error {
	for {
		_, text, err := a.conn.ReadMessage()
		now := time.Now()
		if err != nil {
			return err
		}
		f, err := frameOf(text)
		if err != nil {
			return err
		}
		*cursor = f.Cursor
		a.mu.Lock()
		a.at[f.Subject] = now
		a.mu.Unlock()
	}
}

func (a *audience) resume(ctx context.Context, s *server, cursor string, why error) error {
	conn, _, err := s.dial(ctx, s.token, onlyProcessing+"&after="+url.QueryEscape(cursor))
	if err != nil {
		return errors.Join(why, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.conn.Close()
	a.conn = conn
	a.ends[why.Error()]++
	if a.ended {
		_ = conn.Close()
	}
	return nil
}

func (a *audience) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// close ends it. Afterwards only the caller accesses the recorded times.
func (a *audience) close() {
	a.mu.Lock()
	a.ended = true
	_ = a.conn.Close()
	a.mu.Unlock()
	<-a.done
}

// wait returns when events of all orders have arrived.
func (a *audience) wait(ctx context.Context, sent []sending) error {
	ctx, cancel := context.WithTimeout(ctx, 2*frameWithin)
	defer cancel()
	for {
		missing := 0
		a.mu.Lock()
		for _, o := range sent {
			if a.at[o.order].IsZero() {
				missing++
			}
		}
		a.mu.Unlock()
		if missing == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d orders have been processed without a frame", missing, len(sent))
		}
		pause(ctx, 20*time.Millisecond)
	}
}
