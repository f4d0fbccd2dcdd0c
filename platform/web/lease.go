package web

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

const (
	leaseEvery = 500 * time.Millisecond
	leaseGrace = 5 * time.Second // without an answer, when nobody can tell
)

var (
	errTooLong = errors.New("the stream took longer than it may")
	errTooSlow = errors.New("the client takes less than the lowest rate")
	errNoLease = errors.New("the lease is over")
)

// watch cuts the stream when its lease or its time is over, its client is too slow, or
// the server stops: it has more time to stop than a moment, but not for a download.
func (s *stream) watch(stopping <-chan struct{}) {
	var tick, tooLong, stopped <-chan time.Time
	if s.options.Lease != nil || s.options.MinRate > 0 { // thousands of streams have neither
		ticker := time.NewTicker(leaseEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	if s.options.MaxTime > 0 {
		tooLong = time.After(s.options.MaxTime)
	}
	for sure := time.Now(); ; {
		select {
		case <-s.ctx.Done():
			return
		case <-stopping:
			stopping, stopped = nil, time.After(streamGrace)
		case <-stopped:
			s.cut(errStopping)
			return
		case <-tooLong:
			s.cut(errTooLong)
			return
		case <-tick:
			if err := s.judge(&sure); err != nil {
				s.cut(err)
				return
			}
		}
	}
}

// judge says why the stream must not go on. sure is when its lease was last known to
// be good.
func (s *stream) judge(sure *time.Time) error {
	if s.pace.below(s.options.MinRate, s.options.RateAfter) {
		return errTooSlow
	}
	if s.options.Lease == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, leaseGrace)
	defer cancel()
	err := s.options.Lease(ctx)
	if err == nil {
		*sure = time.Now()
		return nil
	}
	if f, told := fault.As(err); (!told || f.Kind == fault.Unavailable) && time.Since(*sure) < leaseGrace {
		return nil
	}
	return fmt.Errorf("%w: %w", errNoLease, err)
}

// cut ends the stream for a reason. When that is its lease, what the kernel has not sent
// yet is not sent any more: a slow client would go on reading megabytes.
func (s *stream) cut(why error) {
	s.deadline.Lock()
	defer s.deadline.Unlock()
	s.cancel(why)
	if tcp, ok := s.conn.(interface{ SetLinger(seconds int) error }); ok && errors.Is(why, errNoLease) {
		_ = tcp.SetLinger(0)
	}
	_ = s.conn.SetWriteDeadline(time.Now())
}

// pace is how much a client takes, and how long it lets the stream wait.
type pace struct {
	sent   atomic.Int64 // bytes
	waited atomic.Int64 // ns, without the piece that is out
	since  atomic.Int64 // when the piece that is out was offered, Unix ns; 0 while none is
}

func (p *pace) offered() { p.since.Store(time.Now().UnixNano()) }

func (p *pace) taken() {
	if since := p.since.Swap(0); since != 0 {
		p.waited.Add(time.Now().UnixNano() - since)
	}
}

// below tells whether a client has taken less than rate bytes a second, once it was
// waited for that long.
func (p *pace) below(rate int64, after time.Duration) bool {
	waited := time.Duration(p.waited.Load())
	if since := p.since.Load(); since != 0 {
		waited += time.Since(time.Unix(0, since))
	}
	return rate > 0 && waited > after && float64(p.sent.Load()) < float64(rate)*waited.Seconds()
}
