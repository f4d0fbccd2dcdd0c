package main

import (
	"context"
	"slices"
	"time"
)

// endToEnd measures how many orders per second are processed while clients place orders as fast as
// possible, and how long the remaining ones take.
func (b *bench) endToEnd(ctx context.Context) error {
	clients := []int{64, 256}
	if most := slices.Max(b.opt.clients); most < 64 {
		clients = []int{most}
	}
	b.report.title("End to end, roles=api,worker: placed by clients and processed by workers of one process")
	for _, n := range clients {
		if err := b.throughput(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// throughput places orders for one step and waits until all have been processed.
func (b *bench) throughput(ctx context.Context, clients int) error {
	s, tokens, err := b.market(ctx, "api,worker")
	if err != nil {
		return err
	}
	defer s.stop()
	// The orders of the warm-up are processed first, so that they are not counted.
	if _, err := s.place(ctx, clients, tokens, timing{step: s.opt.warm}); err != nil {
		return err
	}
	if _, err := s.drain(ctx); err != nil {
		return err
	}

	start, err := s.counters()
	if err != nil {
		return err
	}
	from := time.Now()
	seconds := s.watch(ctx)
	st, err := s.place(ctx, clients, tokens, timing{step: s.opt.step})
	if err != nil {
		return err
	}
	placing := time.Since(from)
	end, err := s.counters()
	if err != nil {
		return err
	}
	drained, err := s.drain(ctx)
	if err != nil {
		return err
	}

	o := outcome{clients, placing, drained, start, end, st, seconds()}
	// The time is that of the event, which is a moment before its commit.
	var last time.Time
	if err := s.db.QueryRow(ctx, "select max(at) from events where type = 'order.processing'").Scan(&last); err != nil {
		return err
	}
	o.print(b.report, last.Sub(from))
	return nil
}

// outcome is the result of an end-to-end step.
type outcome struct {
	clients          int
	placing, drained time.Duration
	start, end       counters
	step             step
	each             []float64
}

func (o outcome) print(r *report, overall time.Duration) {
	value := func(what string, v float64, unit string) { r.value("e2e", what, o.clients, v, unit) }
	placed, processed := o.end.placed-o.start.placed, o.end.processed-o.start.processed
	value("placed while placing", placed/o.placing.Seconds(), "orders/s")
	value("  answered after, p50", o.step.latency.P50, "ms")
	value("  answered after, p99", o.step.latency.P99, "ms")
	value("processed while placing", processed/o.placing.Seconds(), "orders/s")
	if len(o.each) > 0 {
		value("  in the slowest second", slices.Min(o.each), "orders/s")
		value("  in the fastest second", slices.Max(o.each), "orders/s")
	}
	value("backlog when placing ended", placed-processed, "orders")
	value("time to work it off", o.drained.Seconds(), "s")
	value("overall, to the last processed", placed/overall.Seconds(), "orders/s")
}

// watch counts the orders that are processed in each second until its result is requested. The
// second in which placing ends is included if it is complete.
func (s *server) watch(ctx context.Context) (perSecond func() []float64) {
	until, cancel := context.WithTimeout(ctx, s.opt.step)
	done := make(chan []float64, 1)
	go func() {
		defer cancel()
		var each []float64
		last, err := s.counters()
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for err == nil {
			select {
			case <-until.Done():
				done <- each
				return
			case <-every.C:
				var now counters
				if now, err = s.counters(); err == nil {
					each = append(each, now.processed-last.processed)
					last = now
				}
			}
		}
		s.failed(err)
		done <- nil
	}()
	return func() []float64 { return <-done }
}
