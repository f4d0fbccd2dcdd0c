package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// step is the result of one measurement.
type step struct {
	rate    float64 // successes per second
	latency Latency
	failed  int
}

// timing has the durations of the warm-up and of the measurement.
type timing struct{ warm, step time.Duration }

// worker is one client: do makes one request and is never called concurrently.
type worker struct {
	do    func() error
	close func()
}

// drive runs clients that send the next request after each response (closed loop), and measures
// after the warm-up. A latency is recorded if the request began during the measurement, so that
// slow requests at the end are included.
func (b *bench) drive(ctx context.Context, clients int, t timing, start func(i int) (worker, error)) (step, error) {
	workers := make([]worker, clients)
	defer func() {
		for _, w := range workers {
			if w.close != nil {
				w.close()
			}
		}
	}()
	for i := range workers {
		w, err := start(i)
		if err != nil {
			return step{}, fmt.Errorf("client %d: %w", i+1, err)
		}
		workers[i] = w
	}

	from := time.Now().Add(t.warm)
	to := from.Add(t.step)
	runs := make([]laps, clients)
	var all sync.WaitGroup
	for i, w := range workers {
		all.Go(func() { runs[i] = b.laps(ctx, w, from, to) })
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return step{}, err
	}

	var took []time.Duration
	done, failed := 0, 0
	for _, r := range runs {
		took, done, failed = append(took, r.took...), done+r.done, failed+r.failed
	}
	return step{rate: float64(done) / t.step.Seconds(), latency: summarize(took), failed: failed}, nil
}

type laps struct {
	took         []time.Duration
	done, failed int
}

func (b *bench) laps(ctx context.Context, w worker, from, to time.Time) (r laps) {
	r.took = make([]time.Duration, 0, 1<<14)
	for began := time.Now(); began.Before(to) && ctx.Err() == nil; {
		err := w.do()
		ended := time.Now()
		if err != nil {
			if ctx.Err() != nil {
				return r
			}
			r.failed++
			b.failed(err)
			pause(ctx, 10*time.Millisecond) // limits the rate of rejected requests
			ended = time.Now()
		} else {
			if !began.Before(from) {
				r.took = append(r.took, ended.Sub(began))
			}
			if !ended.Before(from) && ended.Before(to) {
				r.done++
			}
		}
		began = ended
	}
	return r
}

// failed records an error of a measured request.
func (b *bench) failed(err error) {
	if refused, ok := errors.AsType[*refusal](err); ok {
		b.report.print.fail(refused.kind(), refused.body)
		return
	}
	root := err // without the port numbers, which would make each error unique
	for next := errors.Unwrap(root); next != nil; next = errors.Unwrap(root) {
		root = next
	}
	b.report.print.fail(root.Error(), err.Error())
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
