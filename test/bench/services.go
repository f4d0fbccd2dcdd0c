package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/test/program"
)

// bench is one run with its services and its results.
type bench struct {
	opt    options
	report *report

	dir    string // deleted at the end; it contains no .env that the child would read
	binary string
	dbs    *program.Databases

	redisURL string // "" for the in-process Redis of the child
	stops    []func() error
}

// open builds the binary and starts the servers that it needs.
func open(ctx context.Context, o options) (_ *bench, err error) {
	b := &bench{opt: o, report: newReport(os.Stdout)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()

	if b.dir, err = os.MkdirTemp("", "orderflow-bench-*"); err != nil {
		return nil, err
	}
	b.stops = append(b.stops, func() error { return os.RemoveAll(b.dir) })
	b.binary = filepath.Join(b.dir, "orderflow")
	if err := program.Build(ctx, b.binary); err != nil {
		return nil, err
	}
	if b.dbs, err = program.OpenDatabases(ctx, b.dir, "bench", nil); err != nil {
		return nil, err
	}
	b.stops = append(b.stops, b.dbs.Close)
	b.report.Facts["postgres"] = "DATABASE_URL"
	if b.dbs.Private {
		b.report.Facts["postgres"] = "private"
	}
	return b, b.openRedis(ctx)
}

// close stops everything that open started, in reverse order.
func (b *bench) close() error {
	var errs []error
	for _, stop := range slices.Backward(b.stops) {
		errs = append(errs, stop())
	}
	b.stops = nil
	return errors.Join(errs...)
}

// openRedis uses the configured Redis, or else starts redis-server, or else leaves the child to its
// in-process Redis.
func (b *bench) openRedis(ctx context.Context) error {
	if b.redisURL = os.Getenv("REDIS_URL"); b.redisURL != "" {
		b.report.Facts["redis"] = "REDIS_URL"
		return nil
	}
	address, stop, err := program.StartRedis(ctx, b.dir)
	if errors.Is(err, program.ErrNoRedis) {
		b.report.Facts["redis"] = "in the process of orderflow"
		return nil // the child brings its own
	}
	if err != nil {
		return err
	}
	b.report.Facts["redis"] = "private"
	b.stops = append(b.stops, stop)
	b.redisURL = "redis://" + address
	return nil
}

// facts reports the versions and settings of the servers, as they return them.
func (b *bench) facts(ctx context.Context) error {
	b.report.fact("machine", fmt.Sprintf("%s/%s, %d cores, shared with the load generator", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()))
	b.report.fact("go", runtime.Version())
	b.report.fact("measured for", b.opt.step.String()+" a step")
	b.report.fact("postgres", b.report.Facts["postgres"])
	b.report.fact("redis", b.report.Facts["redis"])
	for _, name := range []string{
		"server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size", "max_connections",
	} {
		var value string
		if err := b.dbs.Admin.QueryRow(ctx, "select current_setting($1)", name).Scan(&value); err != nil {
			return err
		}
		b.report.fact(name, value)
	}
	return b.commitTime(ctx)
}

// commitTime measures the cost of a durable commit. Far below 0.1 ms, commits do not reach a disk,
// with any settings.
func (b *bench) commitTime(ctx context.Context) error {
	database, drop, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer drop()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "create table commits (n int)"); err != nil {
		return err
	}
	took := make([]time.Duration, 100)
	for i := range took {
		began := time.Now()
		if _, err := conn.Exec(ctx, "insert into commits values ($1)", i); err != nil {
			return err
		}
		took[i] = time.Since(began)
	}
	l := summarize(took)
	b.report.fact("commit of one row", fmt.Sprintf("%.2f ms p50, %.2f ms p99", l.P50, l.P99))
	return nil
}

// database creates an empty database. The caller must call drop.
func (b *bench) database(ctx context.Context) (address string, drop func(), err error) {
	address, remove, err := b.dbs.Create(ctx)
	return address, func() {
		if err := remove(); err != nil {
			b.report.print.fail("a database is left behind", err.Error())
		}
	}, err
}
