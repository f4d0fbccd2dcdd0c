package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const maxAttempts = 4

// InTx runs do in a transaction and commits it when do returns nil. After a serialization failure
// or a deadlock (40001, 40P01) it runs do again in a new transaction, at most four times in all, so
// do must not keep results of a failed attempt. If do returns an error, nothing is committed.
//
// A *CommitError is an error of COMMIT; see its Unknown method for whether the transaction may have
// been committed.
func InTx(ctx context.Context, pool *Pool, do func(tx pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := runOnce(ctx, pool, do)
		if err == nil || try == maxAttempts || !retryable(err) {
			return err
		}
		pool.retries.Add(1)

		pause := time.Duration(rand.Int64N(int64(try*10))+1) * time.Millisecond //nolint:gosec // jitter, not a secret
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// Retries returns how often InTx has repeated a transaction on this pool.
func (p *Pool) Retries() int64 { return p.retries.Load() }

func runOnce(ctx context.Context, pool *Pool, do func(tx pgx.Tx) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()

	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	// After a commit this does nothing. The rollback needs its own deadline, because the caller's
	// context may have ended, and a connection with an open transaction is lost to the pool.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = tx.Rollback(ctx)
	}()

	if err := do(tx); err != nil {
		return err
	}
	// A COMMIT that is not sent because the context has ended would close the connection.
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return &CommitError{err}
	}
	return nil
}

// CommitError is an error of COMMIT itself. Unless the server rejected the COMMIT, the transaction
// may have been committed.
type CommitError struct{ cause error }

// Error returns the error of the driver, with a prefix.
func (e *CommitError) Error() string { return "commit: " + e.cause.Error() }

// Unwrap returns the error of the driver.
func (e *CommitError) Unwrap() error { return e.cause }

// Unknown reports whether the transaction may have been committed.
func (e *CommitError) Unknown() bool {
	if said, ok := errors.AsType[*pgconn.PgError](e.cause); ok {
		// An ERROR means that the server rejected the COMMIT. FATAL and PANIC end the connection,
		// possibly between the commit and its confirmation.
		return said.SeverityUnlocalized != "ERROR"
	}
	return !errors.Is(e.cause, pgx.ErrTxCommitRollback) && !errors.Is(e.cause, pgx.ErrTxClosed) && !pgconn.SafeToRetry(e.cause)
}

func retryable(err error) bool {
	code := Code(err)
	return code == "40001" || code == "40P01"
}

// Code returns the SQLSTATE of the first PostgreSQL error in the chain, or "".
func Code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// Violates reports whether err is a violation of the named constraint or unique index.
func Violates(err error, constraint string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.ConstraintName == constraint
}
