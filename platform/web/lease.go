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
	leaseGrace = 5 * time.Second // during which the lease cannot be checked
)

var (
	errTooLong = errors.New("the stream took longer than it may")
	errTooSlow = errors.New("the client takes less than the lowest rate")
	errNoLease = errors.New("the lease is over")
)

// watch ends the stream when its lease or its maximum time expires, the client is too slow, or the
// server has been stopping for streamGrace.
func (s *stream) watch(stopping <-chan struct{}) {
	var tick, tooLong, stopped <-chan time.Time
	if s.options.Lease != nil || s.options.MinRate > 0 { // most streams have neither
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
			if err := s.check(&sure); err != nil {
				s.cut(err)
				return
			}
		}
	}
}

// check returns why the stream must end, or nil. The argument sure is the time of the last
// successful check of the lease.
func (s *stream) check(sure *time.Time) error {
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
	if f, told := fault.As(err); (!told || f.Kind == fault.KindUnavailable) && time.Since(*sure) < leaseGrace {
		return nil
	}
	return fmt.Errorf("%w: %w", errNoLease, err)
}

// cut ends the stream with an error. If the lease expired, data in the kernel's buffer is discarded
// too, because a slow client would otherwise receive further megabytes.
func (s *stream) cut(why error) {
	s.deadline.Lock()
	defer s.deadline.Unlock()
	s.cancel(why)
	if tcp, ok := s.conn.(interface{ SetLinger(seconds int) error }); ok && errors.Is(why, errNoLease) {
		_ = tcp.SetLinger(0)
	}
	_ = s.conn.SetWriteDeadline(time.Now())
}

// pace measures the bytes that a client accepts and the time that the stream waits for it.
type pace struct {
	sent   atomic.Int64 // bytes
	waited atomic.Int64 // ns, without the current piece
	since  atomic.Int64 // time at which the current piece was offered, Unix ns; 0 if there is none
}

func (p *pace) offered() { p.since.Store(time.Now().UnixNano()) }

func (p *pace) taken() {
	if since := p.since.Swap(0); since != 0 {
		p.waited.Add(time.Now().UnixNano() - since)
	}
}

// below reports whether a client has accepted fewer than rate bytes per second, after waiting for
// it at least that long.
func (p *pace) below(rate int64, after time.Duration) bool {
	waited := time.Duration(p.waited.Load())
	if since := p.since.Load(); since != 0 {
		waited += time.Since(time.Unix(0, since))
	}
	return rate > 0 && waited > after && float64(p.sent.Load()) < float64(rate)*waited.Seconds()
}
