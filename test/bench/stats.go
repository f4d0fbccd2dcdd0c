package main

import (
	"math"
	"slices"
	"time"
)

// Latency summarizes the durations of requests in milliseconds. The percentiles are exact and not
// those of buckets.
type Latency struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// summarize sorts its argument.
func summarize(all []time.Duration) Latency {
	if len(all) == 0 {
		return Latency{}
	}
	slices.Sort(all)
	at := func(p float64) float64 { return millis(all[int(math.Ceil(p*float64(len(all))))-1]) }
	return Latency{N: len(all), P50: at(0.50), P95: at(0.95), P99: at(0.99), Max: at(1)}
}

func millis(d time.Duration) float64 { return math.Round(float64(d)/float64(time.Microsecond)) / 1000 }

func mean(list ...float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}
