// Package postgres provides the access to the database: a pool, a transaction type shared by pgx,
// ent and River, and the retry of transactions.
//
// A transaction is a pgx.Tx that the use case opens and passes down as a parameter. It is never
// stored in a context. Code that holds a transaction must not acquire a second connection from the
// pool: under load that is a deadlock.
package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
)

// Querier has the methods that a pool and a transaction share.
type Querier interface {
	// Exec runs a statement that returns no rows.
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	// Query runs a statement that returns rows; the caller closes them.
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	// QueryRow runs a statement that returns at most one row. Scan returns its error.
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	// SendBatch sends statements in one round trip; the caller closes the results.
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// The limits on the server. Each is below the deadline of the code that waits for it (see
// docs/architecture.md).
const (
	statementTimeout = 4 * time.Second
	lockTimeout      = 3 * time.Second
	idleInTx         = 10 * time.Second // an open transaction delays the event stream
	acquireTimeout   = 2 * time.Second
	cancelTimeout    = time.Second // time for the server to cancel a statement before its connection is closed
)

// Settings in the URL, in milliseconds, that replace limits of the pool. They are not sent to the
// server. They exist for the databases of tests, where a slow machine must not turn a wait into a
// 503.
const (
	acquireSetting = "orderflow.acquire_timeout"
	cancelSetting  = "orderflow.cancel_timeout"
)

// Pool is a pgxpool.Pool that limits the wait for a connection and observes the errors of the
// server, to recognize a database that cannot be written.
type Pool struct {
	*pgxpool.Pool
	health health

	retries        atomic.Int64
	skew           atomic.Int64  // see Skew
	acquireTimeout time.Duration // acquireTimeout when zero
}

// Check decides whether the pool may use a new connection. An error rejects the connection.
type Check func(ctx context.Context, conn *pgx.Conn) error

// Open returns a pool of at most size connections, each of which has passed the checks. It does not
// connect, so a process can start while the database is down. The error of a check can be found
// with errors.Is in the error of Acquire. A timeout in the URL, such as statement_timeout=60000,
// replaces the default of this package. The caller closes the pool.
func Open(ctx context.Context, url string, size int, checks ...Check) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", RedactURL(err))
	}

	cfg.MaxConns = int32(size)
	cfg.MaxConnLifetime = time.Hour
	cfg.MaxConnLifetimeJitter = 10 * time.Minute
	cfg.MaxConnIdleTime = 5 * time.Minute
	acquireWithin, cancelWithin, err := setParams(cfg.ConnConfig.RuntimeParams)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.ConnectTimeout = acquireWithin

	// By default pgx closes the connection of a canceled context, so that many impatient clients
	// cause many new connections. Cancel the statement on the server first, and close the
	// connection only if that fails.
	cfg.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{
			Conn:               conn,
			CancelRequestDelay: 20 * time.Millisecond,
			DeadlineDelay:      cancelWithin,
		}
	}

	// Without this, pgx converts google/uuid to text and back, which is a seventh of the CPU time
	// of placing an order.
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		if err := RequireUTF8(ctx, conn.PgConn()); err != nil {
			return err
		}
		for _, check := range checks {
			if err := check(ctx, conn); err != nil {
				return err
			}
		}
		return nil
	}

	p := &Pool{acquireTimeout: acquireWithin}
	closes := cfg.ConnConfig.OnPgError
	cfg.ConnConfig.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		p.observe(err)
		return closes(conn, err)
	}
	if p.Pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return p, nil
}

// setParams completes the parameters of the URL for the server, and returns the timeouts of the pool
// that it removed from them.
func setParams(params map[string]string) (acquire, cancel time.Duration, err error) {
	if acquire, err = takeTimeout(params, acquireSetting, acquireTimeout); err != nil {
		return 0, 0, err
	}
	if cancel, err = takeTimeout(params, cancelSetting, cancelTimeout); err != nil {
		return 0, 0, err
	}
	for name, limit := range map[string]time.Duration{
		"statement_timeout":                   statementTimeout,
		"lock_timeout":                        lockTimeout,
		"idle_in_transaction_session_timeout": idleInTx,
	} {
		if _, set := params[name]; !set {
			params[name] = fmt.Sprint(limit.Milliseconds())
		}
	}
	if _, set := params["application_name"]; !set {
		params["application_name"] = "orderflow"
	}
	params["timezone"] = "UTC"
	return acquire, cancel, nil
}

// takeTimeout removes a setting of the pool from the parameters for the server and returns its value.
func takeTimeout(params map[string]string, name string, usual time.Duration) (time.Duration, error) {
	text, set := params[name]
	if !set {
		return usual, nil
	}
	delete(params, name)
	ms, err := strconv.Atoi(text)
	if err != nil || ms <= 0 {
		return 0, fmt.Errorf("database url: %s must be a number of milliseconds", name)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Acquire waits at most two seconds for a connection, even if ctx allows more, so that callers get
// a 503 instead of an unbounded queue. Its error is an *AcquireError.
func (p *Pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.acquireTimeout, acquireTimeout))
	defer cancel()

	conn, err := p.Pool.Acquire(ctx)
	if err != nil {
		return nil, &AcquireError{err}
	}
	return conn, nil
}

// AcquireError means that no connection was available: the database is down or the pool is
// exhausted. Nothing has been sent, so a retry is safe.
type AcquireError struct{ cause error }

// Error describes the cause without quoting the URL.
func (e *AcquireError) Error() string { return "acquire connection: " + RedactURL(e.cause).Error() }

// Unwrap returns the error of the pool.
func (e *AcquireError) Unwrap() error { return e.cause }

// Unavailable marks the error as one of an unavailable dependency.
func (e *AcquireError) Unavailable() bool { return true }

// Exec runs one statement on a connection of the pool.
func (p *Pool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer conn.Release()
	return conn.Exec(ctx, sql, args...)
}

// Query runs one query. Its connection returns to the pool when the rows are closed.
func (p *Pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		conn.Release()
		return nil, err
	}
	return &pooledRows{Rows: rows, conn: conn}, nil
}

// SendBatch sends several statements in one round trip. The connection returns to the pool when the
// results are closed.
func (p *Pool) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	return &pooledBatch{conn.SendBatch(ctx, b), conn}
}

// QueryRow runs a query for one row. Scan returns the errors and must be called.
func (p *Pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := p.Query(ctx, sql, args...)
	return &oneRow{rows: rows, err: err}
}

type pooledRows struct {
	pgx.Rows
	conn *pgxpool.Conn
}

func (r *pooledRows) Close() {
	r.Rows.Close()
	if r.conn != nil {
		r.conn.Release()
		r.conn = nil
	}
}

func (r *pooledRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

type pooledBatch struct {
	pgx.BatchResults
	conn *pgxpool.Conn
}

func (b *pooledBatch) Close() error {
	err := b.BatchResults.Close()
	if b.conn != nil {
		b.conn.Release()
		b.conn = nil
	}
	return err
}

type oneRow struct {
	rows pgx.Rows
	err  error
}

func (r *oneRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()

	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
