// Package postgres is the one way to the database: a pool, a transaction type
// shared by plain pgx, ent and River, and the retry that both may need.
//
// A transaction is a pgx.Tx that the use case opens and hands down as a
// parameter. It never hides in a context, and nobody who holds one may ask the
// pool for a second connection: under load that dead-locks.
package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
)

// Querier is what the pool and a transaction have in common.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// The server-side bounds, each below the deadline of whoever waits for it (see
// docs/architecture.md).
const (
	statementTimeout = 4 * time.Second
	lockTimeout      = 3 * time.Second
	idleInTx         = 10 * time.Second // an open transaction holds up the event stream
	acquireTimeout   = 2 * time.Second
	cancelTimeout    = time.Second // for the server to cancel a statement, before its connection is closed
)

// Settings in the address, in milliseconds, that replace bounds of the pool as its other timeouts
// replace those of the server. They are for the databases of tests, where a slow machine must not
// turn a wait into a 503, and are not sent to the server.
const (
	acquireSetting = "orderflow.acquire_timeout"
	cancelSetting  = "orderflow.cancel_timeout"
)

// Pool is pgx's, with a bound on waiting for a connection, and an eye on what the
// server says about itself.
type Pool struct {
	*pgxpool.Pool
	ills ills

	acquireWithin time.Duration // acquireTimeout when zero
}

// Check decides whether a new connection may be used; its error refuses the connection.
type Check func(ctx context.Context, conn *pgx.Conn) error

// Open makes a pool of at most size connections, each of which has passed the checks. It
// does not dial: a database that is down at the start is a database that may come
// back. The error of a check is found by errors.Is in what Acquire returns. A timeout that
// the address sets, such as statement_timeout=60000, replaces the product's own.
func Open(ctx context.Context, url string, size int, checks ...Check) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", Unreachable(err))
	}

	cfg.MaxConns = int32(size)
	cfg.MaxConnLifetime = time.Hour
	cfg.MaxConnLifetimeJitter = 10 * time.Minute
	cfg.MaxConnIdleTime = 5 * time.Minute
	params := cfg.ConnConfig.RuntimeParams
	acquireWithin, err := takeLimit(params, acquireSetting, acquireTimeout)
	if err != nil {
		return nil, err
	}
	cancelWithin, err := takeLimit(params, cancelSetting, cancelTimeout)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.ConnectTimeout = acquireWithin
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

	// By default a cancelled context closes the connection, and a storm of
	// impatient clients becomes a storm of new connections. Ask the server to
	// cancel first, and only then give the connection up.
	cfg.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{
			Conn:               conn,
			CancelRequestDelay: 20 * time.Millisecond,
			DeadlineDelay:      cancelWithin,
		}
	}

	// Otherwise pgx takes google/uuid through its text form: a seventh of all the
	// time that placing an order costs this process.
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		for _, check := range checks {
			if err := check(ctx, conn); err != nil {
				return err
			}
		}
		return nil
	}

	p := &Pool{acquireWithin: acquireWithin}
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

// takeLimit takes a setting of the pool out of those for the server.
func takeLimit(params map[string]string, name string, usual time.Duration) (time.Duration, error) {
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

// Acquire waits at most two seconds for a connection, whatever the context
// allows; the caller then answers 503 rather than queue for ever.
func (p *Pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.acquireWithin, acquireTimeout))
	defer cancel()

	conn, err := p.Pool.Acquire(ctx)
	if err != nil {
		return nil, &AcquireError{err}
	}
	return conn, nil
}

// AcquireError says that no connection was to be had: the database is down or
// the pool exhausted. Nothing has been sent, so a retry is safe.
type AcquireError struct{ cause error }

func (e *AcquireError) Error() string { return "acquire connection: " + Unreachable(e.cause).Error() }

// Unwrap gives the pool's own reason.
func (e *AcquireError) Unwrap() error { return e.cause }

// Unavailable marks the error as one of a dependency that is away.
func (e *AcquireError) Unavailable() bool { return true }

// Exec runs one statement on its own connection.
func (p *Pool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer conn.Release()
	return conn.Exec(ctx, sql, args...)
}

// Query runs one query; its connection goes back when the rows are closed.
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

// SendBatch sends many statements at once; the connection goes back when the
// results are closed.
func (p *Pool) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	return &pooledBatch{conn.SendBatch(ctx, b), conn}
}

// QueryRow runs a query for one row.
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
