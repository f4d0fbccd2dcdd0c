package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// A database that is away at the start is waited for: the process goes on, and works
// once it is there.
func TestStartsWhenTheDatabaseDoes(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	cfg, err := pgxpool.ParseConfig(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Int32
	away.Store(3)
	refused := make(chan struct{}, 100)
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if away.Add(-1) >= 0 {
			refused <- struct{}{}
			return nil, errors.New("connection refused")
		}
		return dial(ctx, network, addr)
	}
	inner, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inner.Close)
	pool := &postgres.Pool{Pool: inner}
	done := make(chan struct{})
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{work: func(context.Context, *river.Job[args]) error { close(done); return nil }})
	c, err := queue.NewWorker(pool, queue.Options{Workers: workers, MaxWorkers: 2, Log: quiet, Queues: map[string]int{"apart": 2}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx, c, time.Second) }()
	<-refused

	for err = errors.New("not yet"); err != nil; {
		err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			_, err := c.InsertTx(t.Context(), tx, args{}, nil)
			return err
		})
	}
	select {
	case <-done:
	case err := <-ended:
		t.Fatalf("it ended: %v", err)
	case <-time.After(testwait.Limit):
		t.Fatal("no client works the job")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
