// Package postgres is the one way to the database: a pool, a transaction type
// shared by plain pgx, ent and River, and the retry that both may need.
//
// A transaction is a pgx.Tx that the use case opens and hands down as a
// parameter. It never hides in a context, and nobody who holds one may ask the
// pool for a second connection: under load that dead-locks.
package postgres

import (
	"context"
	"fmt"
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
// "Timings" in the README).
const (
	statementTimeout = 4 * time.Second
	lockTimeout      = 3 * time.Second
	idleInTx         = 10 * time.Second // an open transaction holds up the event stream
	acquireTimeout   = 2 * time.Second
)

// Pool is pgx's, with a bound on waiting for a connection, and an eye on what the
// server says about itself.
type Pool struct {
	*pgxpool.Pool
	ills ills
}

// Open makes a pool of at most size connections. It does not dial: a database
// that is down at the start is a database that may come back.
func Open(ctx context.Context, url string, size int) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", Unreachable(err))
	}

	cfg.MaxConns = int32(size)
	cfg.MaxConnLifetime = time.Hour
	cfg.MaxConnLifetimeJitter = 10 * time.Minute
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.ConnConfig.ConnectTimeout = acquireTimeout
	params := cfg.ConnConfig.RuntimeParams
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
			DeadlineDelay:      time.Second,
		}
	}

	// Otherwise pgx takes google/uuid through its text form: a seventh of all the
	// time that placing an order costs this process.
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		return nil
	}

	p := &Pool{}
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

// Acquire waits at most two seconds for a connection, whatever the context
// allows; the caller then answers 503 rather than queue for ever.
func (p *Pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
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
