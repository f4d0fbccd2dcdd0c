package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/test/program"
)

// bench is one run with its services and its results.
type bench struct {
	opt    options
	report *report

	dir    string // deleted at the end; it contains no .env that the child would read
	binary string
	base   url.URL // of the PostgreSQL server
	admin  *pgx.Conn
	prefix string // of the databases of this run
	made   int

	redisURL string // "" for the in-process Redis of the child
	stops    []func() error
}

// open builds the binary and starts the servers that it needs.
func open(ctx context.Context, o options) (_ *bench, err error) {
	b := &bench{opt: o, report: newReport(os.Stdout), prefix: "orderflow_bench_" + strings.ToLower(rand.Text()[:8])}
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
	if err := b.openPostgres(ctx); err != nil {
		return nil, err
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

func (b *bench) openPostgres(ctx context.Context) error {
	address := os.Getenv("DATABASE_URL")
	b.report.Facts["postgres"] = "DATABASE_URL"
	if address == "" {
		b.report.Facts["postgres"] = "private"
		pg, err := b.privatePostgres(ctx)
		if err != nil {
			return err
		}
		address = pg.URL()
	}
	base, err := url.Parse(address)
	if err != nil {
		return errors.New("DATABASE_URL is not a URL") // the cause would print its password
	}
	b.base = *base
	if b.admin, err = pgx.Connect(ctx, address); err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { return b.admin.Close(context.Background()) })
	return nil
}

func (b *bench) privatePostgres(ctx context.Context) (*embedded.Postgres, error) {
	// Run by root, the server is another user and must pass through.
	if err := os.Chmod(b.dir, 0o711); err != nil { //nolint:gosec // see above
		return nil, err
	}
	dir := filepath.Join(b.dir, "postgres")
	pg, err := embedded.Start(ctx, embedded.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	b.stops = append(b.stops, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return errors.Join(pg.Stop(ctx), embedded.Remove(ctx, dir))
	})
	return pg, nil
}

// openRedis uses the configured Redis, or else starts redis-server, or else leaves the child to its
// in-process Redis.
func (b *bench) openRedis(ctx context.Context) error {
	if b.redisURL = os.Getenv("REDIS_URL"); b.redisURL != "" {
		b.report.Facts["redis"] = "REDIS_URL"
		return nil
	}
	program, err := exec.LookPath("redis-server")
	if err != nil {
		b.report.Facts["redis"] = "in the process of orderflow"
		return nil //nolint:nilerr // the child brings its own
	}
	b.report.Facts["redis"] = "private"
	port, err := testport.Reserve()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port.String(), "--save", "", "--appendonly", "no", "--dir", b.dir) //nolint:noctx // stopped by hand
	cmd.Stdout = &out
	exited, err := embedded.Spawn(cmd)
	if err != nil {
		return err
	}
	b.stops = append(b.stops, func() error {
		_ = cmd.Process.Kill()
		<-exited
		return nil
	})
	b.redisURL = "redis://" + port.Address()
	return answers(ctx, port.Address(), exited)
}

func answers(ctx context.Context, address string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-exited:
			return errors.New("redis-server exited")
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
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
		if err := b.admin.QueryRow(ctx, "select current_setting($1)", name).Scan(&value); err != nil {
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
	b.made++
	name := b.prefix + "_" + strconv.Itoa(b.made)
	quoted := pgx.Identifier{name}.Sanitize()
	drop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		// A canceled query has closed the connection, so drop uses a new one.
		conn, err := pgx.Connect(ctx, b.base.String())
		if err == nil {
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, "drop database if exists "+quoted+" with (force)")
		}
		if err != nil {
			b.report.print.fail("a database is left behind", name+": "+err.Error())
		}
	}
	if _, err := b.admin.Exec(ctx, "create database "+quoted); err != nil {
		drop() // an interrupted statement may have created it
		return "", nil, fmt.Errorf("create database %s: %w", name, err)
	}
	u := b.base
	u.Path = "/" + name
	return u.String(), drop, nil
}
