package audit

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// BenchmarkRecord writes entries on 16 connections while a sealer runs.
func BenchmarkRecord(b *testing.B) {
	pool, err := postgres.Open(b.Context(), pgtest.URL(b), 18)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- NewSealer(pool, Keys{}, 0, slog.New(slog.DiscardHandler)).Run(ctx) }()
	request := requestOf(b.Context(), "192.0.2.1", "request")
	b.SetParallelism(8)
	var failures atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		user := uuid.New()
		for pb.Next() {
			if err := Record(request, pool, Entry{Action: renamed, Subject: user.String(), User: user, Changes: []Change{Now("size", 1)}}); err != nil {
				failures.Add(1)
			}
		}
	})
	b.StopTimer()
	cancel()
	if err := <-done; err != nil || failures.Load() > 0 {
		b.Fatal(err, failures.Load())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
