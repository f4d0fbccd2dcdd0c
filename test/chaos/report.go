package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// report holds the figures of a run.
type report struct {
	mu      sync.Mutex
	began   time.Time
	counts  map[string]int
	maxima  map[string]time.Duration
	samples map[string][]time.Duration
}

func newReport(began time.Time) *report {
	return &report{
		began: began, counts: map[string]int{}, maxima: map[string]time.Duration{}, samples: map[string][]time.Duration{},
	}
}

func (r *report) count(what string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what] += n
}

func (r *report) longest(what string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.maxima[what] = max(r.maxima[what], d)
}

// sample collects durations whose median is reported.
func (r *report) sample(what string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples[what] = append(r.samples[what], d)
}

func (r *report) print(out io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()

	fmt.Fprintf(out, "\nFigures, after %s\n", time.Since(r.began).Round(time.Second))
	for _, what := range slices.Sorted(maps.Keys(r.counts)) {
		fmt.Fprintf(out, "  %-52s %8d\n", what, r.counts[what])
	}
	for _, what := range slices.Sorted(maps.Keys(r.samples)) {
		list := r.samples[what]
		slices.Sort(list)
		fmt.Fprintf(out, "  %-52s %8d times, %s p50, %s longest\n", what, len(list), round(list[len(list)/2]), round(list[len(list)-1]))
	}
	for _, what := range slices.Sorted(maps.Keys(r.maxima)) {
		fmt.Fprintf(out, "  %-52s %8s\n", what, round(r.maxima[what]))
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
